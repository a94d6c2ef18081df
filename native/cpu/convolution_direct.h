// Direct convolution in 2 and 3 dimensions, forward and input gradient, as a product that never unfolds x:
//
//   out[m, p] = sum_k weight[m, k] band[offset[k] + p]      k = (line, row tap, column tap), line = (channel, depth tap)
//
// No include guard: read once per instruction set, after convolution_tiles.h. The rows of the input that a
// block of outputs reads are copied once, zero-padded, into a band in L2, with rows and columns sorted by
// their remainder modulo the step:
//   band[line][row % step][column % step][plane][row / step][column / step]
// so that for every tap the outputs p of the block, row after row and plane after plane, read one contiguous
// stretch: whole unaligned vectors at offset[k] + p, for any stride, dilation and padding, and nothing is
// copied per tap. A few p lie between the rows; they are computed and dropped. Zeros between rows (planes)
// serve the end of one and the beginning of the next.
//
// A panel of weights stays in L1 while the columns of a block pass. Parallel over (planes, band of rows,
// group, block of output channels); all phases of a stride are done in the block, which holds their outputs.

namespace fluxion::cpu::FLUXION_TARGET {

template <class T>
static void convolve_block(const DirectConvolution<T>& c, const ConvAxis& depth, DirectBlock b,
                           int64_t row, int64_t rows, const T* packed, T* scratch) {
  const DirectPlan& plan = c.plan;
  T* band = scratch;
  char* rest = reinterpret_cast<char*>(scratch) +
               round_up(plan.band_elements() * static_cast<int64_t>(sizeof(T)), 64);
  int32_t* offsets = reinterpret_cast<int32_t*>(rest);
  T* values = reinterpret_cast<T*>(rest + plan.offsets_bytes());
  char* table = rest + plan.offsets_bytes() + kMaxTileRows * kMaxTileRowBytes;
  const OutputRuns runs{reinterpret_cast<OutputRun*>(table),
                        reinterpret_cast<int32_t*>(table + plan.runs_bytes(sizeof(T)))};
  const int64_t lines = plan.channels * depth.taps, band_rows = b.rows;
  for (int64_t first = 0; first < std::max<int64_t>(1, lines); first += plan.chunk) {
    const int64_t now = std::min(plan.chunk, lines - first);
    b.rows = band_rows;
    fill_band(c, depth, b, first, now, band);
    const T* weights = packed;
    for (int64_t ph = 0; ph < plan.phases(kHeightAxis); ++ph) {
      for (int64_t pw = 0; pw < plan.phases(kWidthAxis); ++pw) {
        const DirectPhase phase{depth, plan.axis(kHeightAxis, ph), plan.axis(kWidthAxis, pw)};
        b.rows = std::clamp<int64_t>(phase.h.out - b.y, 0, band_rows);
        const int64_t all = lines * phase.taps();
        if (b.rows > 0 && phase.w.out > 0) {
          find_runs(c, phase, b, runs);
          find_offsets<T>(plan, phase, now, offsets);
          const T* panels =
              weights + b.group * c.padded_rows() * all + first * phase.taps() * kTileRows;
          if (all == 0) {
            store_empty(c, phase, b, row, rows, values, runs);
          } else {
            multiply_band(c, phase, b, panels, row, rows, now * phase.taps(), first == 0,
                          first + now >= lines, band, offsets, values, runs);
          }
        }
        weights += plan.g.groups * c.padded_rows() * all;
      }
    }
  }
}

// All output planes of one phase of the depth.
template <class T>
static void convolve_depth_phase(const Kernel& kernel, const DirectConvolution<T>& c,
                                 const ConvAxis& depth, T* packed) {
  const DirectPlan& plan = c.plan;
  T* to = packed;
  for (int64_t ph = 0; ph < plan.phases(kHeightAxis); ++ph) {
    for (int64_t pw = 0; pw < plan.phases(kWidthAxis); ++pw) {
      const DirectPhase phase{depth, plan.axis(kHeightAxis, ph), plan.axis(kWidthAxis, pw)};
      pack_direct_weights(kernel, c, phase, to);
      to += plan.g.groups * c.padded_rows() * plan.channels * depth.taps * phase.taps();
    }
  }
  const int64_t planes = plan.g.images * depth.out, batches = ceil_div(planes, plan.batch);
  const int64_t panels = ceil_div(plan.rows, kTileRows);
  const int64_t row_step = ceil_div(panels, plan.row_blocks) * kTileRows;
  const int64_t row_blocks = ceil_div(plan.rows, row_step);
  kernel.parallel_for(
      batches * plan.bands * plan.g.groups * row_blocks, [&](int64_t block, int thread) {
        const int64_t row = block % row_blocks * row_step;
        const int64_t group = block / row_blocks % plan.g.groups;
        const int64_t band = block / (row_blocks * plan.g.groups) % plan.bands;
        const int64_t batch = block / (row_blocks * plan.g.groups * plan.bands);
        const int64_t y = band * plan.band_rows;
        const DirectBlock b{batch * plan.batch, std::min(plan.batch, planes - batch * plan.batch),
                            y, std::min(plan.band_rows, plan.height.out - y), group};
        convolve_block(c, depth, b, row, std::min(row_step, plan.rows - row), packed,
                       kernel.scratch<T>(thread));
      });
}

// y = act(x * weight + bias + residual), or transposed: gx = the same of g.
template <class T>
static void convolve_direct(const Kernel& kernel, const DirectPlan& plan, const T* in,
                            const T* weights, const Epilogue<T>& epilogue, T* out) {
  const DirectConvolution<T> c{plan, in, out, epilogue, weights, kernel.workspace<T>()};
  if (plan.g.images * plan.rows * c.out_planes() * c.out_plane() == 0) return;
  T* packed = c.packed;
  for (int64_t phase = 0; phase < plan.phases(kDepthAxis); ++phase) {
    const ConvAxis depth = plan.axis(kDepthAxis, phase);
    if (depth.out == 0) continue;
    convolve_depth_phase(kernel, c, depth, packed);
    packed += plan.g.groups * c.padded_rows() * plan.channels * depth.taps *
              plan.g.kernel[kHeightAxis] * plan.g.kernel[kWidthAxis];
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
