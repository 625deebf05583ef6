export const LOCAL_S3 = { accessKeyId: 'local', secretAccessKey: 'local-secret' } as const;
export const LOCAL_VOD = { secretId: 'local-id', secretKey: 'local-key' } as const;
export const VOD_HOST = 'vod2.qcloud.com';
