// Operands of gemm_tile.cuh that are the positions of a convolution in one, two or three dimensions, so that
// it is a matrix product without its patches being written out.
//
//   forward         y[o, (n, p)]    = sum_(c, t) w[o, (c, t)]  x[n, c, position(p, t)]
//   input gradient  gx[c, (n, p)]   = sum_(o, t) w[o, (c, t)]  g[n, o, position'(p, t)]      for every phase
//   weight gradient gw[o, (c, t)]   = sum_(n, p) g[n, o, p]    x[n, c, position(p, t)]
//
// Pixels p are those of an output plane (depth, height, width), taps t those of the kernel. The input gradient
// with stride s falls into s phases of its positions modulo s for each axis; to a phase only every s-th tap
// contributes, so that no inserted zero is multiplied (native/ops/convolution.h). A pair (channel, tap) is a
// `line`: its offset in an image and the distance from a pixel's first position come from a table.
#pragma once

#include "divide.cuh"
#include "gemm_operand.cuh"

namespace fluxion::cuda {

struct alignas(16) ConvLine {
  int64_t offset;         // in a group's part of an image, from a pixel's first position
  int32_t height, width;  // distance from that position
  int64_t weight;         // in a row of the weights
  int32_t depth, unused;
};

inline constexpr int kConvPhases = 8;  // of one launch

// The outputs of one phase; a forward pass has one. Axes are depth, height, width.
struct ConvPhase {
  int64_t columns;                            // images * pixels
  int64_t pixels;                             // of a plane; the product of three sizes below 2^31
  Divisor by_pixels, by_plane, by_width;  // pixels; height * width; width
  int32_t first_line, lines;
  int32_t step[3], offset[3];   // position of the first tap: output * step + offset
  int32_t first[3], stride[3];  // place among all outputs: first + output * stride
};

struct ConvPlace {
  int64_t image;
  int32_t at[3];
};

__device__ __forceinline__ ConvPlace conv_place(const ConvPhase& phase, int64_t column) {
  ConvPlace place;
  uint32_t pixel;
  if (column < (int64_t{1} << 31)) {
    const uint32_t c = static_cast<uint32_t>(column), image = phase.by_pixels.quotient(c);
    place.image = image;
    pixel = c - image * phase.by_pixels.by;
  } else {
    place.image = column / phase.pixels;
    pixel = static_cast<uint32_t>(column - place.image * phase.pixels);
  }
  const uint32_t depth = phase.by_plane.quotient(pixel);
  const uint32_t rest = pixel - depth * phase.by_plane.by;
  const uint32_t height = phase.by_width.quotient(rest);
  place.at[0] = static_cast<int32_t>(depth);
  place.at[1] = static_cast<int32_t>(height);
  place.at[2] = static_cast<int32_t>(rest - height * phase.by_width.by);
  return place;
}

// Where the first tap of a pixel lies, possibly outside.
struct ConvStart {
  int64_t offset;
  int32_t depth, height, width;
};

__device__ __forceinline__ ConvStart conv_start(const ConvPhase& phase, const ConvPlace& place,
                                                const int32_t (&size)[3], int64_t image_stride) {
  ConvStart s;
  s.depth = place.at[0] * phase.step[0] + phase.offset[0];
  s.height = place.at[1] * phase.step[1] + phase.offset[1];
  s.width = place.at[2] * phase.step[2] + phase.offset[2];
  s.offset = place.image * image_stride +
             (static_cast<int64_t>(s.depth) * size[1] + s.height) * size[2] + s.width;
  return s;
}

// The input of a convolution with what its readers share.
template <class T>
struct ConvInput {
  const T* data;
  int64_t image_stride, group_stride;
  int32_t size[3];
  bool volume;  // the depth axis has more than one position or padding
  const ConvLine* lines;
  int groups;
  ConvPhase phases[kConvPhases];

  // Products are (phase, group), groups fastest.
  __device__ __forceinline__ const ConvPhase& phase(const GemmBlock& block) const {
    return phases[block.batch / groups];
  }
  __device__ __forceinline__ int64_t group(const GemmBlock& block) const {
    return block.batch % groups;
  }
  __device__ __forceinline__ bool inside(const ConvStart& start, const ConvLine& line) const {
    const bool in_plane =
        static_cast<uint32_t>(start.height + line.height) < static_cast<uint32_t>(size[1]) &&
        static_cast<uint32_t>(start.width + line.width) < static_cast<uint32_t>(size[2]);
    if (!volume) return in_plane;
    return in_plane &&
           static_cast<uint32_t>(start.depth + line.depth) < static_cast<uint32_t>(size[0]);
  }
};

// b[(line), (pixel)] of the forward pass and the input gradient: the lanes of a warp are pixels.
template <class T>
struct ConvPixels : ConvInput<T> {
  __device__ void narrow(GemmBlock& block) const {
    const ConvPhase& phase = this->phase(block);
    block.columns = phase.columns;
    block.depths = phase.lines;
  }

  template <class Tile, int kRows, int kPitch>
  struct Reader {
    const T* at;
    const ConvLine* lines;
    ConvStart start;
    int depth;

    __device__ Reader(const ConvPixels& o, const GemmBlock& block, bool) {
      const ConvPhase& phase = o.phase(block);
      const GemmLanes<Tile, kRows, kPitch> lanes(false);
      const int64_t column = block.column + lanes.row;
      start = conv_start(phase, conv_place(phase, column < phase.columns ? column : 0), o.size,
                         o.image_stride);
      // Beyond the last pixel every position is outside.
      if (column >= phase.columns) start.height = -(1 << 30);
      at = o.data + o.group(block) * o.group_stride + start.offset;
      lines = o.lines + phase.first_line + block.depth;
      depth = static_cast<int>(block.depths - block.depth);
    }

    __device__ __forceinline__ void fetch(const ConvPixels& o, const Shared<T>& tile, int base,
                                          int first_k) const {
      using Lanes = GemmLanes<Tile, kRows, kPitch>;
      const Lanes lanes(false);
      GemmCopies<T, Lanes::kCount, 1> copies;
#pragma unroll
      for (int e = 0; e < Lanes::kCount; ++e) {
        const int k = first_k + lanes.k + e * lanes.k_step;
        const ConvLine line = lines[k < depth ? k : 0];
        copies.copy(e, &tile[base + lanes.index(e)], at + line.offset,
                    k < depth && o.inside(start, line));
      }
      copies.finish();
    }
  };
};

// a[row, (line)] of the same: the weights.
template <class T>
struct ConvWeights {
  const T* data;
  int64_t group_stride, row_stride;
  const ConvLine* lines;  // null: in the order of memory
  int groups;
  int32_t first_line[kConvPhases];  // of a phase

  template <class Tile, int kRows, int kPitch>
  struct Reader {
    const T* at;
    const ConvLine* lines;
    int row, rows, depth;

    __device__ Reader(const ConvWeights& o, const GemmBlock& block, bool) {
      const GemmLanes<Tile, kRows, kPitch> lanes(true);
      row = lanes.row;
      const int64_t left = block.rows - block.row;
      rows = static_cast<int>(left < kRows ? left : kRows);
      depth = static_cast<int>(block.depths - block.depth);
      at = o.data + block.batch % o.groups * o.group_stride + (block.row + row) * o.row_stride;
      this->lines =
          o.lines ? o.lines + o.first_line[block.batch / o.groups] + block.depth : nullptr;
      if (!o.lines) at += block.depth;
    }

    __device__ __forceinline__ void fetch(const ConvWeights& o, const Shared<T>& tile, int base,
                                          int first_k) const {
      using Lanes = GemmLanes<Tile, kRows, kPitch>;
      const Lanes lanes(true);
      const int k = first_k + lanes.k;
      const T* from = at;
      if (k < depth) from += lines ? lines[k].weight : k;
      GemmCopies<T, Lanes::kCount, 1> copies;
#pragma unroll
      for (int e = 0; e < Lanes::kCount; ++e) {
        copies.copy(e, &tile[base + lanes.index(e)], from + e * lanes.row_step * o.row_stride,
                    k < depth && row + e * lanes.row_step < rows);
      }
      copies.finish();
    }
  };
};

// The outputs of a phase in their place among all of them.
template <class T>
struct ConvOutput {
  T* data;
  int64_t image_stride, group_stride, row_stride;
  int32_t size[3];  // of all outputs
  bool vectors;     // one phase whose planes are whole, aligned vectors
  int groups;
  ConvPhase phases[kConvPhases];

  __device__ int64_t base(const GemmBlock& at) const { return at.batch % groups * group_stride; }
  __device__ int64_t row_offset(int64_t row) const { return row * row_stride; }
  __device__ __forceinline__ int64_t column_offset(const GemmBlock& at, int64_t column) const {
    const ConvPhase& phase = phases[at.batch / groups];
    const ConvPlace place = conv_place(phase, column);
    const int64_t depth = phase.first[0] + place.at[0] * phase.stride[0];
    const int64_t height = phase.first[1] + place.at[1] * phase.stride[1];
    return place.image * image_stride + (depth * size[1] + height) * size[2] + phase.first[2] +
           place.at[2] * phase.stride[2];
  }
};

// a[row, (image, pixel)] of the weight gradient, and b where the kernel is a single tap on every pixel: planes of
// g or x. The lanes of a warp are eight pixels of four planes.
template <class T>
struct ConvPlanes {
  const T* data;
  int64_t image_stride, group_stride, plane;
  Divisor by_plane;

  __device__ void narrow(GemmBlock&) const {}

  template <class Tile, int kRows, int kPitch>
  struct Reader {
    const T* at;
    int row, rows, depth;
    uint32_t pixel;  // that the thread's part of the slice begins with, in its plane

    __device__ Reader(const ConvPlanes& o, const GemmBlock& block, bool is_a) {
      const GemmLanes<Tile, kRows, kPitch> lanes(true);
      row = lanes.row;
      const int64_t first = is_a ? block.row : block.column;
      const int64_t left = (is_a ? block.rows : block.columns) - first;
      rows = static_cast<int>(left < kRows ? left : kRows);
      depth = static_cast<int>(block.depths - block.depth);
      const int64_t image = block.depth / o.plane;
      pixel = static_cast<uint32_t>(block.depth - image * o.plane) + static_cast<uint32_t>(lanes.k);
      at = o.data + block.batch * o.group_stride + image * o.image_stride + (first + row) * o.plane;
    }

    __device__ __forceinline__ void fetch(const ConvPlanes& o, const Shared<T>& tile, int base,
                                          int first_k) const {
      using Lanes = GemmLanes<Tile, kRows, kPitch>;
      const Lanes lanes(true);
      const uint32_t k = pixel + static_cast<uint32_t>(first_k);
      const uint32_t image = o.by_plane.quotient(k);
      const T* from = at + image * o.image_stride + (k - image * o.by_plane.by);
      const bool exists = first_k + lanes.k < depth;
      GemmCopies<T, Lanes::kCount, 1> copies;
#pragma unroll
      for (int e = 0; e < Lanes::kCount; ++e) {
        copies.copy(e, &tile[base + lanes.index(e)], from + e * lanes.row_step * o.plane,
                    exists && row + e * lanes.row_step < rows);
      }
      copies.finish();
    }
  };
};

// b[(image, pixel), (line)] of the weight gradient.
template <class T>
struct ConvPatches : ConvInput<T> {
  __device__ void narrow(GemmBlock&) const {}

  template <class Tile, int kRows, int kPitch>
  struct Reader {
    const T* at;
    const ConvLine* lines;
    int row, rows, depth;
    int64_t first;  // pixel, of all images

    __device__ Reader(const ConvPatches& o, const GemmBlock& block, bool) {
      const GemmLanes<Tile, kRows, kPitch> lanes(true);
      row = lanes.row;
      const int64_t left = block.columns - block.column;
      rows = static_cast<int>(left < kRows ? left : kRows);
      depth = static_cast<int>(block.depths - block.depth);
      first = block.depth + lanes.k;
      at = o.data + block.batch * o.group_stride;
      this->lines = o.lines + block.column;
    }

    __device__ __forceinline__ void fetch(const ConvPatches& o, const Shared<T>& tile, int base,
                                          int first_k) const {
      using Lanes = GemmLanes<Tile, kRows, kPitch>;
      const Lanes lanes(true);
      const bool exists = first_k + lanes.k < depth;
      const ConvPhase& phase = o.phases[0];
      const ConvStart start = conv_start(phase, conv_place(phase, exists ? first + first_k : 0),
                                         o.size, o.image_stride);
      const T* from = at + start.offset;
      GemmCopies<T, Lanes::kCount, 1> copies;
#pragma unroll
      for (int e = 0; e < Lanes::kCount; ++e) {
        const int r = row + e * lanes.row_step;
        const ConvLine line = lines[r < rows ? r : 0];
        copies.copy(e, &tile[base + lanes.index(e)], from + line.offset,
                    exists && r < rows && o.inside(start, line));
      }
      copies.finish();
    }
  };
};

}  // namespace fluxion::cuda
