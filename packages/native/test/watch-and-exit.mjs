// Started by watch.test.ts on the built package: must end by itself once nothing is watched.
import {
  closeDescriptor,
  makePipe,
  readDescriptor,
  watchDescriptor,
  writeDescriptor,
} from '../dist/index.js';

const mode = process.argv[2];
const pipe = makePipe();
const other = makePipe();

process.on('uncaughtException', (error) => {
  console.log(`uncaught\n${error.message}`);
  watch.close();
});

const watch = watchDescriptor(pipe.read, { readable: true }, () => {
  readDescriptor(pipe.read, Buffer.alloc(1));
  console.log('ready');
  if (mode === 'throwing') throw new Error('boom');
  if (mode === 'putting off') {
    // both before the loop waits for the timer, which is all that it has
    Promise.resolve().then(() => console.log('promise'));
    process.nextTick(() => console.log('tick'));
    setTimeout(() => console.log('timer'), 300);
  }
  watch.close();
  console.log('closed');
});

if (mode === 'throwing') {
  const second = watchDescriptor(other.read, { readable: true }, () => {
    console.log('other');
    second.close();
  });
  writeDescriptor(other.write, Buffer.of(1));
}
if (mode === 'waiting') {
  // Nothing but the watch keeps the process alive meanwhile.
  setTimeout(() => writeDescriptor(pipe.write, Buffer.of(1)), 200).unref();
} else {
  writeDescriptor(pipe.write, Buffer.of(1));
}
process.on('exit', () => {
  for (const fd of [pipe.read, pipe.write, other.read, other.write]) closeDescriptor(fd);
});
