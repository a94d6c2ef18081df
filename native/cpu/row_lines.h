// Rows of an array as lines of vectors, [cell][lane], and back: transposes in registers. Read once per
// instruction set, after simd.h and transpose.h.

namespace fluxion::cpu::FLUXION_TARGET {

// lines[j][lane] = from[lane * stride + j] for j < n and lane < rows, other lanes zero, as load_transposed.
// With AVX-512 the quarters of 16 rows are gathered by the loads, which leaves half of the shuffles.
template <class T>
inline void rows_to_lines(const T* from, int64_t stride, int rows, int64_t n, T* lines,
                          int64_t pitch) {
  int64_t j = 0;
#if defined(__x86_64__) && FLUXION_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    for (; rows == 16 && j + 4 <= n; j += 4) {
      __m512 v[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const float* row = from + i * stride + j;
        v[i] = _mm512_castps128_ps512(_mm_loadu_ps(row));
        v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(row + 4 * stride), 1);
        v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(row + 8 * stride), 2);
        v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(row + 12 * stride), 3);
      }
      // 4 x 4 transposes in each quarter
      const __m512 a = _mm512_maskz_unpacklo_ps(0xffff, v[0], v[1]);
      const __m512 b = _mm512_maskz_unpackhi_ps(0xffff, v[0], v[1]);
      const __m512 c = _mm512_maskz_unpacklo_ps(0xffff, v[2], v[3]);
      const __m512 d = _mm512_maskz_unpackhi_ps(0xffff, v[2], v[3]);
      T* to = lines + j * pitch;
      _mm512_storeu_ps(to, _mm512_maskz_shuffle_ps(0xffff, a, c, 0x44));
      _mm512_storeu_ps(to + pitch, _mm512_maskz_shuffle_ps(0xffff, a, c, 0xee));
      _mm512_storeu_ps(to + 2 * pitch, _mm512_maskz_shuffle_ps(0xffff, b, d, 0x44));
      _mm512_storeu_ps(to + 3 * pitch, _mm512_maskz_shuffle_ps(0xffff, b, d, 0xee));
    }
  }
#endif
  load_transposed(from + j, stride, rows, n - j, lines + j * pitch, pitch);
}

enum class Put { store, stream, add };

template <class T, Put kPut>
inline __attribute__((always_inline)) void put_vector(T* to, Vec<T> x) {
  if constexpr (kPut == Put::stream) {
    stream(to, x);
  } else if constexpr (kPut == Put::add) {
    store(to, load(to) + x);
  } else {
    store(to, x);
  }
}

template <class T, Put kPut>
inline __attribute__((always_inline)) void put_part(T* to, Vec<T> x, int count) {
  if constexpr (kPut == Put::add) x += load_partial(to, count);
  store_partial(to, x, count);
}

// Line `lane` of `lines` (pitch apart) becomes row `lane` of `to`.
template <class T, Put kPut>
inline void put_rows(const T* lines, int64_t pitch, int rows, int64_t n, T* to) {
  constexpr int w = kLanes<T>;
  for (int64_t j = 0; j < n; j += w) {
    const int columns = n - j < w ? static_cast<int>(n - j) : w;
    Vec<T> tile[w];
    if (columns == w) {
      for (int i = 0; i < w; ++i) tile[i] = load(lines + (j + i) * pitch);
    } else {
      for (int i = 0; i < w; ++i) tile[i] = i < columns ? load(lines + (j + i) * pitch) : Vec<T>{};
    }
    transpose_tile<T>(tile);
    if (rows == w && columns == w) {
      for (int i = 0; i < w; ++i) put_vector<T, kPut>(to + i * n + j, tile[i]);
    } else {
      for (int i = 0; i < rows; ++i) put_part<T, kPut>(to + i * n + j, tile[i], columns);
    }
  }
}

}  // namespace fluxion::cpu::FLUXION_TARGET
