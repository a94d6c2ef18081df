// Rows of planes in shared memory, laid out so that both directions are free of bank conflicts: a thread
// takes kSegment cells of a row in 16-byte chunks while its neighbours take those beside and below, and a
// warp takes 32 cells of a row at a time for columns. Chunk x of a row stands at x ^ (x / 8 mod 8); rows are
// padded so that those met by the same quarter of a warp differ (tile_chunks).
#pragma once

#include <cstring>

#include "line_segment.cuh"

namespace fluxion::cuda {

template <class T>
inline constexpr int kChunk = static_cast<int>(16 / sizeof(T));

// Division of small numbers: exact where dividend times divisor is below 2^32.
struct SmallDivisor {
  unsigned magic;
  int by;
  __device__ __forceinline__ int of(int n) const {
    return by == 1 ? n : static_cast<int>(__umulhi(static_cast<unsigned>(n), magic));
  }
};
inline SmallDivisor small_divisor(int by) {
  return {static_cast<unsigned>(((uint64_t{1} << 32) + static_cast<uint64_t>(by) - 1) /
                                static_cast<uint64_t>(by)),
          by};
}

struct TileShape {
  int width, height;  // cells of a plane
  int64_t row;        // cells from row to row in memory
  int chunks;         // of a row
  int pitch;          // cells from row to row
  int lanes;          // that share a row: a power of two
  int segments_x, segments_y;  // segments_x: of all lanes
  bool chunked;  // rows begin at multiples of 16 bytes in memory, too
  SmallDivisor by_chunks, by_width, by_height;

  // The same tile with narrower rows.
  template <class T>
  __device__ void narrow(int to) {
    width = to;
    chunks = (to + static_cast<int>(16 / sizeof(T)) - 1) / static_cast<int>(16 / sizeof(T));
  }
};

inline int segments_of(int64_t n) { return static_cast<int>((n + kSegment - 1) / kSegment); }

// `chunked`: whether memory is aligned. Rows of up to 32 segments.
template <class T>
TileShape tile_shape(int width, int height, bool aligned) {
  TileShape s{};
  s.width = width;
  s.height = height;
  s.row = width;
  s.lanes = 1;
  while (s.lanes < segments_of(width)) s.lanes *= 2;
  s.segments_x = s.lanes;
  s.segments_y = segments_of(height);
  s.chunks = (width + kChunk<T> - 1) / kChunk<T>;
  int row = s.chunks <= 8 ? s.chunks | 1 : (s.chunks + 7) / 8 * 8;
  if (s.chunks > 8 && s.lanes == 4) row += sizeof(T) == 4 ? 2 : 4;
  if (s.chunks > 8 && s.lanes == 2) row += 2;
  s.pitch = row * kChunk<T>;
  s.chunked = aligned && width % kChunk<T> == 0;
  s.by_chunks = small_divisor(s.chunks);
  s.by_width = small_divisor(width);
  s.by_height = small_divisor(height);
  return s;
}

// The place of a chunk, and of a cell, in its row.
__device__ __forceinline__ int chunk_place(int chunk) { return chunk ^ ((chunk >> 3) & 7); }
template <class T>
__device__ __forceinline__ int cell_place(int x) {
  return chunk_place(x / kChunk<T>) * kChunk<T> + x % kChunk<T>;
}

template <class T>
__device__ __forceinline__ void load_chunk(const T* from, T* to) {
  const uint4 word = *reinterpret_cast<const uint4*>(from);
  memcpy(to, &word, sizeof word);
}
template <class T>
__device__ __forceinline__ void store_chunk(T* to, const T* from) {
  uint4 word;
  memcpy(&word, from, sizeof word);
  *reinterpret_cast<uint4*>(to) = word;
}

// Rows of `count` planes that lie `stride` apart in memory.
struct PlaneRun {
  int64_t offset, stride;
  int channel, count;
};

// Begins the copy of planes into a tile, row by row; complete after copy_async_wait and a barrier. What
// fills up the last chunk of a row becomes 0.
template <class T>
__device__ inline void fetch_planes(const TileShape& shape, const PlaneRun& run, const T* from,
                                    T* tile) {
  const int cells = shape.chunked ? kChunk<T> : 1;
  const int per_row = shape.by_chunks.by * (kChunk<T> / cells);
  const int all = run.count * shape.height * per_row;
  for (int t = static_cast<int>(threadIdx.x); t < all; t += static_cast<int>(blockDim.x)) {
    const int row = shape.by_chunks.of(t * cells / kChunk<T>);
    const int x = (t - row * per_row) * cells, plane = shape.by_height.of(row);
    T* to = tile + row * shape.pitch + cell_place<T>(x);
    const T* cell =
        from + run.offset + plane * run.stride + (row - plane * shape.height) * shape.row + x;
    if (x < shape.width) {
      if (shape.chunked) {
        copy_async<16>(to, cell);
      } else {
        copy_async<sizeof(T)>(to, cell);
      }
    } else if (x < shape.chunks * kChunk<T>) {
      *to = T(0);
    }
  }
}

// The reverse; after a barrier.
template <class T>
__device__ inline void put_planes(const TileShape& shape, const PlaneRun& run, const T* tile, T* to) {
  const int cells = shape.chunked ? kChunk<T> : 1;
  const int per_row = shape.by_chunks.by * (kChunk<T> / cells);
  const int all = run.count * shape.height * per_row;
  for (int t = static_cast<int>(threadIdx.x); t < all; t += static_cast<int>(blockDim.x)) {
    const int row = shape.by_chunks.of(t * cells / kChunk<T>);
    const int x = (t - row * per_row) * cells, plane = shape.by_height.of(row);
    if (x >= shape.width) continue;
    const T* from = tile + row * shape.pitch + cell_place<T>(x);
    T* cell = to + run.offset + plane * run.stride + (row - plane * shape.height) * shape.row + x;
    if (shape.chunked) {
      T chunk[kChunk<T>];
      load_chunk(from, chunk);
      store_chunk(cell, chunk);
    } else {
      *cell = *from;
    }
  }
}

// --- rows

// One thread's share of rows: segment s of row first + threadIdx.x / lanes.
template <class T>
struct RowSegments {
  const TileShape& shape;
  int s, valid;
  SegmentFactors<T> c;
  const T* m;  // in shared memory, for registers are scarce
  LaneScan<T> scan;

  __device__ __forceinline__ RowSegments(const TileShape& tile, const LineTable<T>& table)
      : shape(tile) {
    s = static_cast<int>(threadIdx.x) & (shape.lanes - 1);
    valid = shape.width - s * kSegment;
#pragma unroll
    for (int i = 0; i <= kSegment; ++i) c[i] = table.c(s, i - 1);
    m = table.scales(s);
    scan.prepare(s, shape.lanes, table.forth(s), table.back(s), table.gain());
  }

  __device__ __forceinline__ int first_row() const {
    return static_cast<int>(threadIdx.x) / shape.lanes;
  }
  __device__ __forceinline__ int rows_at_once() const {
    return static_cast<int>(blockDim.x) / shape.lanes;
  }

  // Of a row of the tile; 0 beyond its end.
  __device__ __forceinline__ void load(const T* row, bool present, T (&b)[kSegment]) const {
    constexpr int each = kSegment / kChunk<T>;
#pragma unroll
    for (int j = 0; j < each; ++j) {
      const int chunk = s * each + j;
      if (present && chunk < shape.chunks) {
        load_chunk(row + chunk_place(chunk) * kChunk<T>, b + j * kChunk<T>);
      } else {
#pragma unroll
        for (int i = 0; i < kChunk<T>; ++i) b[j * kChunk<T> + i] = T(0);
      }
    }
  }
  __device__ __forceinline__ void store(T* row, bool present, const T (&x)[kSegment]) const {
    constexpr int each = kSegment / kChunk<T>;
#pragma unroll
    for (int j = 0; j < each; ++j) {
      const int chunk = s * each + j;
      if (present && chunk < shape.chunks)
        store_chunk(row + chunk_place(chunk) * kChunk<T>, x + j * kChunk<T>);
    }
  }

  // Forward sweep with what the line is given, and scaling.
  __device__ __forceinline__ void forward(T (&b)[kSegment], T given) const {
    const T carry = scan.forward(s, shape.lanes, forward_total<T>(c, b), given);
    forward_sweep<T>(c, carry, b);
#pragma unroll
    for (int i = 0; i < kSegment; ++i) b[i] *= m[i];
  }
  // Backward sweep: b becomes the solution. Returns the solution in the next cell.
  __device__ __forceinline__ T backward(T (&b)[kSegment], T given) const {
    const T carry = scan.backward(s, shape.lanes, backward_total<T>(c, b), given);
    backward_sweep<T>(c, carry, b);
    clear_beyond<T>(valid, b);
    return carry;
  }
  __device__ __forceinline__ T solve(T (&b)[kSegment]) const {
    forward(b, T(0));
    return backward(b, T(0));
  }
};

// The face sum of a segment of the row `other` in the tile with the solution x, and of the walls. The row begins
// and ends its line where `starts` and `ends_here` say so; `after` is the cell of the other field that follows it.
template <class T>
__device__ __forceinline__ T row_faces(const RowSegments<T>& rows, int ends, bool starts,
                                       bool ends_here, const T (&x)[kSegment], T next_x,
                                       const T* other, const T (&b)[kSegment], T after) {
  if (rows.valid <= 0) return T(0);
  const bool last = rows.valid <= kSegment;
  const bool wall = last && ends_here && ends != kRingEnds;
  T next_b = last ? after : other[cell_place<T>((rows.s + 1) * kSegment)];
  if (wall) next_x = next_b = T(0);
  T sum = face_sum<T>(x, next_x, b, next_b, rows.valid, !wall || ends != kMirrorEnds);
  if (ends == kZeroEnds && starts && rows.s == 0) sum += x[0] * b[0];
  return sum;
}

// --- columns

// The share of a thread in a column: cells of a tile, or of memory.
template <class T>
__device__ __forceinline__ void load_column(const T* from, int64_t step, int valid,
                                            T (&b)[kSegment]) {
#pragma unroll
  for (int i = 0; i < kSegment; ++i) b[i] = i < valid ? from[i * step] : T(0);
}
template <class T>
__device__ __forceinline__ void store_column(T* to, int64_t step, int valid,
                                             const T (&x)[kSegment]) {
#pragma unroll
  for (int i = 0; i < kSegment; ++i) {
    if (i < valid) to[i * step] = x[i];
  }
}

// One thread's share of columns: warp (group, s) has segment s of 32 columns at a time.
template <class T>
struct ColumnSegments {
  int s, valid, group, groups;
  SegmentFactors<T> c;
  const T* m;
  const LineTable<T>& table;
  const WarpScan<T>& scan;

  // `cells` of the line from the first segment of the table on.
  __device__ __forceinline__ ColumnSegments(int64_t cells, const LineTable<T>& factors,
                                            const WarpScan<T>& warps)
      : table(factors), scan(warps) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    s = warp % table.segments;
    group = warp / table.segments;
    groups = static_cast<int>(blockDim.x) / kWarp / table.segments;
    const int64_t left = cells - s * kSegment;
    valid = left > kSegment ? kSegment + 1 : static_cast<int>(left);
#pragma unroll
    for (int i = 0; i <= kSegment; ++i) c[i] = table.c(s, i - 1);
    m = table.scales(s);
  }

  __device__ __forceinline__ int first_column() const {
    return group * kWarp + static_cast<int>(threadIdx.x) % kWarp;
  }
  __device__ __forceinline__ int columns_at_once() const { return groups * kWarp; }

  __device__ __forceinline__ void forward(T (&b)[kSegment], T given) const {
    const T carry = scan.forward(table, s, forward_total<T>(c, b), given);
    forward_sweep<T>(c, carry, b);
#pragma unroll
    for (int i = 0; i < kSegment; ++i) b[i] *= m[i];
  }
  __device__ __forceinline__ T backward(T (&b)[kSegment], T given) const {
    const T carry = scan.backward(table, s, backward_total<T>(c, b), given);
    backward_sweep<T>(c, carry, b);
    clear_beyond<T>(valid, b);
    return carry;
  }
  __device__ __forceinline__ T solve(T (&b)[kSegment]) const {
    forward(b, T(0));
    return backward(b, T(0));
  }
};

// The same along a column, which begins and ends here: `next_b` follows the segment (for the last one of a
// ring: cell 0).
template <class T>
__device__ __forceinline__ T column_faces(const ColumnSegments<T>& columns, int ends, bool starts,
                                          bool ends_here, const T (&x)[kSegment], T next_x,
                                          const T (&b)[kSegment], T next_b) {
  const bool wall = columns.valid <= kSegment && ends_here && ends != kRingEnds;
  if (wall) next_x = next_b = T(0);
  T sum = face_sum<T>(x, next_x, b, next_b, columns.valid, !wall || ends != kMirrorEnds);
  if (ends == kZeroEnds && starts && columns.s == 0) sum += x[0] * b[0];
  return sum;
}

}  // namespace fluxion::cuda
