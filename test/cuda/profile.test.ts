// Profiles of a GPU's queue: the table, the trace and the records are those of the CPU, with the GPU's name.
import { readFileSync } from 'node:fs';
import { capture, matmul, nn, profile, rand, relu, tensor, tidy, train } from '../../lib';
import { temporaryFolder } from '../data/files';
import { describeOnCuda, errorOf } from './device';

const at = temporaryFolder();

describeOnCuda('profile of a GPU', () => {
  test('calls, bytes and operations of each op; times in order', async () => {
    const [a, b] = [rand([33, 47], { device: 'cuda' }), rand([47, 20], { device: 'cuda' })];
    const taken = await profile(() =>
      tidy(() => {
        for (let i = 0; i < 3; i++) relu(matmul(a, b));
        return relu(tensor([1, 2]).to('cuda')).dataSync().length;
      }),
    );
    expect(taken.result).toBe(2);
    const row = (op: string) => taken.rows.find((r) => r.op === op && r.device === 'cuda:0')!;
    expect(row('matmul')).toMatchObject({
      calls: 3,
      bytes: 3 * 4 * (33 * 47 + 47 * 20 + 33 * 20),
      flops: 3 * 2 * 33 * 47 * 20,
    });
    expect(row('relu')).toMatchObject({ calls: 4, bytes: 3 * 8 * 33 * 20 + 16 });
    expect(row('write')).toMatchObject({ calls: 1, bytes: 16 });
    expect(row('read')).toMatchObject({ calls: 1, bytes: 16 });
    const own = taken.records.filter(({ device }) => device === 'cuda:0');
    expect(own.map(({ op }) => op)).toEqual([
      ...Array.from({ length: 3 }, () => ['matmul', 'relu']).flat(),
      ...['write', 'relu', 'read'],
    ]);
    for (const [i, { begin, end, inlined }] of own.entries()) {
      expect(inlined).toBe(false);
      expect(begin).toBeGreaterThanOrEqual(i > 0 ? own[i - 1]!.end : 0);
      expect(end).toBeGreaterThanOrEqual(begin);
    }
    expect(row('matmul').ms).toBeGreaterThan(0);
    expect(own.at(-1)!.end - own[0]!.begin).toBeLessThanOrEqual(1e3 * taken.wallMs);
    expect(taken.busyMs).toBeLessThanOrEqual(taken.wallMs);
    expect(String(taken)).toMatch(/^cuda:0 matmul +3 /m);
  });

  test('a device that is opened under the profile, and what does not fit', async () => {
    const { records, dropped } = await profile(
      () => tidy(() => void rand([5], { device: 'cuda:1' }).add(1).mul(2)),
      { capacity: 2 },
    );
    expect(records.map(({ op, device }) => `${device} ${op}`)).toEqual([
      'cuda:1 rand',
      'cuda:1 add',
    ]);
    expect(dropped).toBe(1);
  });

  test('a thread of its own in the trace; a replayed step is one record', async () => {
    const step = capture(() => rand([4], { device: 'cuda' }).add(1).sum());
    const taken = await profile(
      () => {
        for (let i = 0; i < 5; i++) step();
      },
      { trace: at('trace.json') },
    );
    const ops = taken.records.filter(({ device }) => device === 'cuda:0').map(({ op }) => op);
    expect(ops.filter((op) => op === 'sum')).toHaveLength(2); // before the third call recorded
    expect(ops.filter((op) => op === 'replay')).toHaveLength(3);
    const { traceEvents } = JSON.parse(readFileSync(at('trace.json'), 'utf8')) as {
      traceEvents: { name: string; ph: string; tid: number; args: { name?: string } }[];
    };
    const thread = traceEvents.find(({ ph, args }) => ph === 'M' && args.name === 'cuda:0')!;
    const replays = traceEvents.filter(({ ph, name }) => ph === 'X' && name === 'replay');
    expect(replays.map(({ tid }) => tid)).toEqual([thread.tid, thread.tid, thread.tid]);
    step.dispose();
  });

  test('is not begun while a step is captured, and can be taken afterwards', async () => {
    const pending: Promise<unknown>[] = [];
    const guarded = capture(
      () => {
        pending.push(profile(() => 1).then(() => 'taken', (error: Error) => error.message)); // prettier-ignore
        return rand([4], { device: 'cuda' });
      },
      { warmUp: 1 },
    );
    guarded();
    expect(await pending[0]).toBe('taken');
    guarded(); // records
    expect(await pending[1]).toContain('while a step is captured');
    expect((await profile(() => 3)).result).toBe(3);
    guarded.dispose();
  });

  test('a summary counts what it counts on the CPU', () => {
    const model = new nn.Sequential(new nn.Linear(6, 5), new nn.ReLU(), new nn.Linear(5, 2));
    const counts = (device: 'cpu' | 'cuda') =>
      train
        .summary(model.to(device), rand([3, 6], { device }))
        .rows.map(({ name, flops, bytes }) => [...[name, flops, bytes]]);
    const cpu = counts('cpu');
    expect(counts('cuda')).toEqual(cpu);
    expect(errorOf(() => train.summary(model, rand([3, 6]))).code).toBe('FLUXION_DEVICE_MISMATCH');
  });
});
