export const CREDENTIALS = { accessKeyId: 'AKIDLOCAL', secretAccessKey: 'a secret/with+signs' };
