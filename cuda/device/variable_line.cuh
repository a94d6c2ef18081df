// (I - tau A) x = b along a line whose diffusivity varies from cell to cell, and the faces of A.
//
// (A x)_i = F_{i+1/2} - F_{i-1/2}, F_{i+1/2} = f_{i+1/2} (x_{i+1} - x_i), f the face value of tau k / dx^2.
// Elimination in terms of s_i, what is left of row i without its right face:
//     p_i = s_i + f_{i+1/2},   c_i = f_{i+1/2} / p_i,   s_{i+1} = 1 + s_i c_i
//     forward  y_i = b_i + c_{i-1} y_{i-1}, d_i = y_i / p_i       backward  x_i = d_i + c_i x_{i+1}
// Only positive numbers are added, so that no large f cancels the 1 and sums over closed lines are kept to
// rounding. A ring is the closed line plus f (e_0 - e_last)(e_0 - e_last)^T of the face that joins its ends
// (Sherman-Morrison, whose denominator is at least 1); its vector q is solved for in the same sweep.
// Source: Grassmann, Taksar, Heyman (1985) for the subtraction-free pivots; Press et al., 2.7.
#pragma once

#include "line_pieces.cuh"

namespace fluxion::cuda {

// How k becomes faces: `scale * k` is read, chosen so that a face is a b / (a + b) or a + b.
template <class T>
struct FaceRule {
  bool harmonic;
  int ends;  // 0 mirror, 1 zero, 2 ring
  T scale;

  // Added to every scaled diffusivity: lost beside the 1 of the matrix, and a + b > 0 where both cells are 0.
  __device__ __forceinline__ T scaled(T k) const {
    return scale * k + (sizeof(T) == 4 ? T(1e-18) : T(1e-150));
  }
  __device__ __forceinline__ T face(T a, T b) const {
    return harmonic ? a * b / (a + b) : a + b;
  }
  // The face at an open end over the scaled diffusivity.
  __device__ __forceinline__ T wall() const {
    return ends != 1 ? T(0) : harmonic ? T(0.5) : T(2);
  }
};

template <class T>
class VariableElimination {
 public:
  __device__ VariableElimination(const LineRemains<T>& to, const FaceRule<T>& rule)
      : to_(to), rule_(rule), ring_(rule.ends == 2) {}

  // Cell i, which completes row i - 1.
  __device__ __forceinline__ void add(int64_t i, T k, T b) {
    const T next = rule_.scaled(k);
    const T right = static_cast<T>((i == 0) - (i + 1 == to_.n));
    if (i == 0) {
      first_ = next;
      s_ = T(1) + rule_.wall() * next;
      y_ = b;
      z_ = right;
    } else {
      T c, m;
      if (rule_.harmonic) {
        const T above = a_ * next, below = a_ + next;
        const T r = T(1) / (s_ * below + above);
        c = above * r;
        m = below * r;
      } else {
        const T face = a_ + next;
        m = T(1) / (s_ + face);
        c = face * m;
      }
      keep(i - 1, c, m);
      y_ = b + c * y_;
      z_ = right + c * z_;
      s_ = T(1) + s_ * c;
    }
    a_ = next;
    if (i + 1 == to_.n) keep(i, T(0), T(1) / (s_ + rule_.wall() * a_));
  }

  // d becomes the solution.
  __device__ void back() {
    T x = 0, z = 0;
    for (int64_t i = to_.n - 1; i >= 0; --i) {
      const T c = to_.c(i);
      x = to_.d(i) + c * x;
      to_.d(i) = x;
      if (!ring_) continue;
      z = to_.q(i) + c * z;
      to_.q(i) = z;
    }
    if (!ring_) return;
    const T joint = rule_.face(a_, first_);
    const T weight = joint / (T(1) + joint * (z - to_.q(to_.n - 1)));
    jump_ = (x - to_.d(to_.n - 1)) * weight;
  }

  __device__ __forceinline__ T solution(int64_t i) const {
    return ring_ ? to_.d(i) - jump_ * to_.q(i) : to_.d(i);
  }

 private:
  __device__ __forceinline__ void keep(int64_t i, T c, T m) {
    to_.c(i) = c;
    to_.d(i) = y_ * m;
    if (ring_) to_.q(i) = z_ * m;
  }

  LineRemains<T> to_;
  FaceRule<T> rule_;
  bool ring_;
  T a_ = 0, s_ = 0, y_ = 0, z_ = 0, first_ = 0, jump_ = 0;
};

// Derivative of a face in the cell with diffusivity `own`, over the scale of faces; 0 where both are 0.
template <class T>
__device__ __forceinline__ T face_derivative(bool harmonic, T own, T other) {
  if (!harmonic) return T(1);
  const T least = sizeof(T) == 4 ? T(1.17549435e-38) : T(2.2250738585072014e-308);
  const T sum = own + other;
  const T share = other / (sum > least ? sum : least);
  return share * share;
}

}  // namespace fluxion::cuda
