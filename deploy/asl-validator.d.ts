/** The package ships no types. */
declare module 'asl-validator' {
  /** Writes defaults into `definition`. */
  function validate(definition: unknown): { isValid: boolean; errorsText(separator?: string): string };
  export default validate;
}
