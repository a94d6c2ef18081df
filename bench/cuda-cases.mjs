// What bench/cuda.mjs measures: operations on a GPU with the bytes that they must move at least (floors of
// docs/benchmarking.md) and their arithmetic. `run` makes one call on set i of the inputs.

const F32 = 4;
const size = (shape) => shape.reduce((a, b) => a * b, 1);

/** A case of a forward call, and of forward and backward where `backward` gives the floor of both. */
function pair(name, peer, { shape, make, forward, bytes, backward, flops = 0, settings = {} }) {
  const elements = size(shape);
  const cases = [
    {
      name: `${name}/forward`,
      ...{ peer, shape, settings },
      bytes: bytes * elements,
      flops,
      inputBytes: F32 * elements,
      make: (f) => make(f, false),
      run: (f, inputs) => f.tidy(() => void forward(f, inputs)),
    },
  ];
  if (backward) {
    cases.push({
      name: `${name}/forward-backward`,
      ...{ peer, shape, settings },
      bytes: backward * elements,
      flops: 3 * flops,
      inputBytes: 2 * F32 * elements,
      make: (f) => ({ ...make(f, true), cotangent: undefined }),
      run: (f, inputs) => {
        const y = forward(f, inputs);
        inputs.cotangent ??= f.keep(f.rand(y.shape, { device: 'cuda' }));
        y.backward(inputs.cotangent);
        y.dispose();
        for (const t of Object.values(inputs)) {
          t?.grad?.dispose();
          if (t) t.grad = null;
        }
      },
    });
  }
  return cases;
}

const random = (f, shape, requiresGrad = false) => f.rand(shape, { device: 'cuda', requiresGrad });

/** u and a coefficient for each channel. */
const field = (shape) => (f, grad) => ({
  u: random(f, shape, grad),
  k: f.rand([shape[1]], { device: 'cuda', requiresGrad: grad }),
});

const displaced = (shape) => (f, grad) => {
  const [n, c, h, w] = shape;
  const v = f.tidy(() => f.keep(f.rand([n, c, 2, h, w], { device: 'cuda' }).sub(0.5).mul(4)));
  v.requiresGrad = grad;
  return { u: random(f, shape, grad), v };
};

const channels = ([, c]) => c;

/** The operators on [N, C, H, W] at a size. */
function operators(shape) {
  const [n, c, h, w] = shape;
  const tag = `[${shape.join(',')}]`;
  const conv = (k, groups = 1) => ({
    shape,
    make: (f, grad) => ({
      x: random(f, shape, grad),
      w: random(f, [c, c / groups, k, k], grad),
    }),
    forward: (f, { x, w: weight }) => f.conv2d(x, weight, { padding: (k - 1) / 2, groups }),
    bytes: 2 * F32,
    backward: 5 * F32,
    flops: (2 * k * k * c * size(shape)) / groups,
    settings: { k, groups },
  });
  return [
    ...pair(`copy ${tag}`, 'copy', {
      shape,
      make: (f) => ({ x: random(f, shape) }),
      forward: (f, { x }) => x.clone(),
      bytes: 2 * F32,
    }),
    ...pair(`add ${tag}`, 'add', {
      shape,
      make: (f) => ({ x: random(f, shape), y: random(f, shape) }),
      forward: (f, { x, y }) => x.add(y),
      bytes: 3 * F32,
    }),
    ...pair(`gelu ${tag}`, 'gelu', {
      shape,
      make: (f, grad) => ({ x: random(f, shape, grad) }),
      forward: (f, { x }) => f.gelu(x),
      bytes: 2 * F32,
      backward: 5 * F32,
    }),
    ...pair(`sum ${tag}`, 'sum', {
      shape,
      make: (f) => ({ x: random(f, shape) }),
      forward: (f, { x }) => x.sum(),
      bytes: F32,
    }),
    ...pair(`batch-norm ${tag}`, 'batch-norm', {
      shape,
      make: (f, grad) => ({
        x: random(f, shape, grad),
        weight: random(f, [c], grad),
        bias: random(f, [c], grad),
      }),
      forward: (f, { x, weight, bias }) => f.batchNorm(x, { weight, bias, training: true }),
      bytes: 3 * F32,
      backward: 8 * F32,
    }),
    ...pair(`implicit-diffusion ${tag}`, 'implicit-diffusion', {
      shape,
      make: field(shape),
      forward: (f, { u, k }) => f.implicitDiffusion2d(u, k, { dt: 0.5 }),
      bytes: 2 * F32,
      backward: 5 * F32,
    }),
    ...pair(`spectral-diffusion ${tag}`, 'spectral-diffusion', {
      shape,
      make: field(shape),
      forward: (f, { u, k }) => f.spectralDiffusion2d(u, k, { dt: 0.5, boundary: 'periodic' }),
      bytes: 2 * F32,
      backward: 5 * F32,
      flops: 5 * size(shape) * Math.log2(h * w),
    }),
    ...pair(`upwind ${tag}`, 'upwind', {
      shape,
      make: (f, grad) => ({
        u: random(f, shape, grad),
        v: random(f, [channels(shape), 2], grad),
      }),
      forward: (f, { u, v }) => f.advectUpwind2d(u, v, { dt: 0.2, boundary: 'periodic' }),
      bytes: 2 * F32,
      backward: 5 * F32,
    }),
    ...pair(`semi-lagrangian ${tag}`, 'semi-lagrangian', {
      shape,
      make: displaced(shape),
      forward: (f, { u, v }) => f.advectSemiLagrangian2d(u, v, {}),
      bytes: 4 * F32,
      backward: 11 * F32,
    }),
    ...pair(`depthwise-3x3 ${tag}`, 'conv', conv(3, c)),
    ...pair(`conv-3x3 ${tag}`, 'conv', conv(3)),
    ...pair(`conv-1x1 ${tag}`, 'conv', conv(1)),
    ...pair(`mesh-free-conv ${tag}`, 'mesh-free-conv', {
      shape,
      make: (f, grad) => ({
        u: random(f, shape, grad),
        weight: random(f, [c, c, 9], grad),
      }),
      forward: (f, { u, weight }) => f.meshFreeConv2d(u, weight),
      bytes: 2 * F32,
      backward: 5 * F32,
      flops: 4 * c * size(shape) + 10 * size(shape) * Math.log2(h * w),
      settings: { n },
    }),
  ];
}

function products(n) {
  return pair(`matmul ${n}`, 'matmul', {
    shape: [n, n],
    make: (f, grad) => ({ a: random(f, [n, n], grad), b: random(f, [n, n], grad) }),
    forward: (f, { a, b }) => f.matmul(a, b),
    bytes: 3 * F32,
    backward: 9 * F32,
    flops: 2 * n ** 3,
  });
}

/** Systems of n unknowns that have their diagonals each. */
function tridiagonal(systems, n) {
  const shape = [systems, n];
  return pair(`tridiagonal [${shape.join(',')}]`, 'tridiagonal', {
    shape,
    make: (f, grad) => {
      const between = (low, high) => {
        const t = f.tidy(() =>
          f
            .rand(shape, { device: 'cuda' })
            .mul(high - low)
            .add(low),
        );
        t.requiresGrad = grad;
        return t;
      };
      return { lower: between(-1, 0), diag: between(2, 3), upper: between(-1, 0), rhs: between(0, 1) }; // prettier-ignore
    },
    forward: (f, { lower, diag, upper, rhs }) => f.tridiagonalSolve(lower, diag, upper, rhs),
    bytes: 5 * F32,
    backward: 14 * F32,
    flops: 8 * systems * n,
  });
}

/** Training steps, operation by operation and as a captured graph. */
function trainingSteps(small) {
  const rdnn = small ? { batch: 2, side: 8, layers: 1 } : { batch: 64, side: 28, layers: 4 };
  const adrnn = small ? { batch: 1, side: 8, layers: 1, channels: 4 } : { batch: 8, side: 64, layers: 4, channels: 64 }; // prettier-ignore
  const step = (f, model, lossOf, x) => {
    const optimizer = new f.optim.Adam(model.parameters(), { learningRate: 1e-3 });
    return (input) => {
      optimizer.zeroGrad();
      const loss = lossOf(model, input ?? x);
      loss.backward();
      optimizer.step();
      return loss;
    };
  };
  const networks = {
    rdnn: (f) => {
      const model = new f.models.RDNN({ channels: [32, 64], layersPerBlock: rdnn.layers });
      const labels = f.randint(0, 10, [rdnn.batch], { device: 'cuda' });
      const x = random(f, [rdnn.batch, 1, rdnn.side, rdnn.side]);
      return {
        x,
        step: step(f, model.to('cuda'), (m, u) => f.crossEntropy(m.forward(u), labels), x),
      };
    },
    adrnn: (f) => {
      const { channels: wide, layers } = adrnn;
      const model = new f.models.ADRNN({ inChannels: 1, channels: wide, layers });
      const x = random(f, [adrnn.batch, 1, adrnn.side, adrnn.side]);
      return { x, step: step(f, model.to('cuda'), (m, u) => f.mseLoss(m.forward(u), u), x) };
    },
  };
  return Object.entries(networks).flatMap(([name, make]) =>
    ['eager', 'captured'].map((mode) => ({
      name: `${name}-step/${mode}`,
      peer: name,
      shape: [],
      settings: name === 'rdnn' ? rdnn : adrnn,
      ...{ bytes: 0, flops: 0, inputBytes: Infinity },
      make: (f) => {
        const { x, step: run } = make(f);
        return {
          x,
          call: mode === 'captured' ? f.capture(run) : (input) => f.tidy(() => void run(input)),
        };
      },
      run: (f, { x, call }) => void call(x),
    })),
  );
}

export function cases(small) {
  const shapes = small ? [[1, 4, 16, 16]] : [[64, 64, 128, 128], [16, 64, 64, 64]]; // prettier-ignore
  return [
    ...shapes.flatMap(operators),
    ...products(small ? 32 : 4096),
    ...(small ? [] : products(1024)),
    ...(small ? [[8, 16]] : [[64 * 64 * 128, 128], [16 * 64 * 64, 64]]).flatMap((size) => tridiagonal(...size)), // prettier-ignore
    ...trainingSteps(small),
  ];
}
