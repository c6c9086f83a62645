// What a disk quota by image costs a create: the default where no file system of the host counts for itself.
import { startDaemon } from '../lib/daemon.mjs';

export async function measureQuota({ samples, skipped, place, count, isShort }) {
  const sections = { server: { quota: { disk_quota_enabled: true } }, drivers: { quota: 'image' } };
  let withImage;
  try {
    withImage = await startDaemon(place('quota', sections));
  } catch (error) {
    skipped.set('quota image', `no disk quota by image on this host: ${error.message}`);
    return;
  }
  const without = await startDaemon(place('no-quota'));
  try {
    for (const { client } of [withImage, without]) await (await client.create()).destroy();
    for (let i = 0; i < (isShort ? 5 : count); i++) {
      for (const [name, { client }] of Object.entries({
        'with a quota image': withImage,
        'without quota': without,
      })) {
        const box = await samples.time(`create ${name}`, () => client.create());
        await samples.time(`destroy ${name}`, () => box.destroy());
      }
    }
  } finally {
    await withImage.stop();
    await without.stop();
  }
}
