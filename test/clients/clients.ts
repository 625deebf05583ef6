/** One S3 client and how it does each task. A task that a client cannot do is absent. */
export type Client = Readonly<{
  name: string;
  /** Prints the version. */
  version: readonly string[];
  /** The Debian package. */
  package: string;
  /** Stored by `putSmall` next to the bytes. */
  metadata: Readonly<Record<string, string>>;
  tag: string;
  tasks: Readonly<Record<Task, readonly string[] | undefined>>;
}>;

export type Task = 'putSmall' | 'putLarge' | 'putWithChecksum' | 'read' | 'copy' | 'remove';

export type World = Readonly<{
  endpoint: string;
  host: string;
  bucket: string;
  small: string;
  large: string;
  output: string;
  sha256: string;
}>;

/** Names in two scripts. `aws` and boto3 reject them in metadata, but not in other headers. */
export const TITLE = '片名 ü.mp4';
export const DISPOSITION = `attachment; filename="${TITLE}"`;

const PYTHON = 'import boto3, os; s3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"]); ';

/** The commands of each client. Keys are `<client>/small`, `<client>/large`, `<client>/sum`, and `<client>/copy`. */
export const createClients = ({
  endpoint,
  host,
  bucket,
  small,
  large,
  output,
  sha256,
}: World): readonly Client[] => {
  const aws = ['aws', '--endpoint-url', endpoint];
  const s3cmd = ['s3cmd', `--host=${host}`, `--host-bucket=${host}`, '--no-ssl', '--no-progress', '--quiet'];
  const rclone = ['rclone', '--config=/dev/null', '--s3-no-check-bucket', '--retries=1'];
  const remote = `:s3,provider=Other,env_auth=true,region=us-east-1,force_path_style=true,endpoint='${endpoint}':${bucket}`;
  const python = (code: string) => ['/usr/bin/python3', '-c', PYTHON + code];
  return [
    {
      name: 'aws',
      package: 'awscli',
      metadata: { note: 'a b' },
      tag: 'aws cli',
      version: ['aws', '--version'],
      tasks: {
        putSmall: [
          ...[...aws, 's3api', 'put-object', '--bucket', bucket, '--key', 'aws/small', '--body', small],
          ...[
            '--tagging',
            'by=aws%20cli&x=1',
            '--metadata',
            'note=a b',
            '--content-disposition',
            DISPOSITION,
          ],
        ],
        putLarge: [...aws, 's3', 'cp', large, `s3://${bucket}/aws/large`, '--only-show-errors'],
        putWithChecksum: [
          ...[...aws, 's3api', 'put-object', '--bucket', bucket, '--key', 'aws/sum', '--body', small],
          ...['--checksum-sha256', sha256],
        ],
        read: [...aws, 's3', 'cp', `s3://${bucket}/aws/large`, output, '--only-show-errors'],
        copy: [
          ...aws,
          's3',
          'cp',
          `s3://${bucket}/aws/large`,
          `s3://${bucket}/aws/copy`,
          '--only-show-errors',
        ],
        remove: [...aws, 's3', 'rm', '--recursive', `s3://${bucket}/aws/`, '--only-show-errors'],
      },
    },
    {
      name: 's3cmd',
      package: 's3cmd',
      metadata: { title: TITLE },
      tag: 's3cmd',
      version: ['s3cmd', '--version'],
      tasks: {
        putSmall: [
          ...[...s3cmd, 'put', small, `s3://${bucket}/s3cmd/small`],
          ...[`--add-header=Content-Disposition: ${DISPOSITION}`, `--add-header=x-amz-meta-title: ${TITLE}`],
          '--add-header=x-amz-tagging: by=s3cmd',
        ],
        putLarge: [...s3cmd, 'put', large, `s3://${bucket}/s3cmd/large`, '--multipart-chunk-size-mb=10'],
        putWithChecksum: undefined,
        read: [...s3cmd, 'get', `s3://${bucket}/s3cmd/large`, output],
        copy: [...s3cmd, 'cp', `s3://${bucket}/s3cmd/large`, `s3://${bucket}/s3cmd/copy`],
        remove: [...s3cmd, 'del', '--recursive', '--force', `s3://${bucket}/s3cmd/`],
      },
    },
    {
      name: 'rclone',
      package: 'rclone',
      metadata: { title: TITLE },
      tag: 'rclone',
      version: ['rclone', '--version'],
      tasks: {
        putSmall: [
          ...[...rclone, 'copyto', small, `${remote}/rclone/small`],
          ...[
            `--header-upload=Content-Disposition: ${DISPOSITION}`,
            '--header-upload=X-Amz-Tagging: by=rclone',
          ],
          `--header-upload=X-Amz-Meta-Title: ${TITLE}`,
        ],
        putLarge: [
          ...[...rclone, 'copyto', large, `${remote}/rclone/large`],
          ...['--s3-upload-cutoff=8M', '--s3-chunk-size=8M'],
        ],
        putWithChecksum: undefined,
        read: [...rclone, 'copyto', `${remote}/rclone/large`, output],
        copy: [...rclone, 'copyto', `${remote}/rclone/large`, `${remote}/rclone/copy`],
        remove: [...rclone, 'delete', `${remote}/rclone`],
      },
    },
    {
      name: 'boto3',
      package: 'python3-boto3',
      metadata: { note: 'a b' },
      tag: 'boto 3',
      version: ['/usr/bin/python3', '-c', 'import boto3; print("boto3", boto3.__version__)'],
      tasks: {
        putSmall: python(
          `s3.put_object(Bucket="${bucket}", Key="boto3/small", Body=open("${small}", "rb"), Tagging="by=boto%203", Metadata={"note": "a b"}, ContentDisposition=${JSON.stringify(DISPOSITION)})`,
        ),
        putLarge: python(
          `s3.upload_file("${large}", "${bucket}", "boto3/large", ExtraArgs={"ChecksumAlgorithm": "SHA256"})`,
        ),
        putWithChecksum: python(
          `s3.put_object(Bucket="${bucket}", Key="boto3/sum", Body=open("${small}", "rb"), ChecksumSHA256="${sha256}")`,
        ),
        read: python(`s3.download_file("${bucket}", "boto3/large", "${output}")`),
        copy: python(`s3.copy({"Bucket": "${bucket}", "Key": "boto3/large"}, "${bucket}", "boto3/copy")`),
        remove: python(
          `print(s3.delete_objects(Bucket="${bucket}", Delete={"Objects": [{"Key": "boto3/" + k} for k in ["small", "large", "sum", "copy"]]}))`,
        ),
      },
    },
  ];
};
