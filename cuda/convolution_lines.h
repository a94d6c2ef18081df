// From the parameters of a convolution to what its kernels read (device/conv_operand.cuh): phases and the table
// of lines.
#pragma once

#include <vector>

#include "device/conv_operand.cuh"
#include "kernel.h"
#include "ops/convolution_direct.h"

namespace fluxion::cuda {

// One phase along the three axes, and the taps of it that exist.
struct ConvAxes {
  ConvAxis axis[3];
  int64_t pixels() const { return axis[0].out * axis[1].out * axis[2].out; }
  int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
};

inline ConvAxes forward_axes(const ConvGeometry& g) {
  return {{g.forward(0), g.forward(1), g.forward(2)}};
}

// All phases of the input gradient that have outputs.
inline std::vector<ConvAxes> input_vjp_axes(const ConvGeometry& g) {
  std::vector<ConvAxes> all;
  for (int64_t d = 0; d < g.stride[0]; ++d) {
    for (int64_t h = 0; h < g.stride[1]; ++h) {
      for (int64_t w = 0; w < g.stride[2]; ++w) {
        const ConvAxes axes{{g.input_vjp(0, d), g.input_vjp(1, h), g.input_vjp(2, w)}};
        if (axes.pixels() > 0) all.push_back(axes);
      }
    }
  }
  return all;
}

inline ConvPhase conv_phase(const ConvAxes& axes, int64_t images, int64_t first_line,
                            int64_t lines) {
  ConvPhase phase{};
  phase.pixels = axes.pixels();
  phase.columns = images * phase.pixels;
  phase.by_pixels = Divisor(phase.pixels);
  phase.by_plane = Divisor(axes.axis[1].out * axes.axis[2].out);
  phase.by_width = Divisor(axes.axis[2].out);
  phase.first_line = static_cast<int32_t>(first_line);
  phase.lines = static_cast<int32_t>(lines);
  for (int a = 0; a < 3; ++a) {
    const ConvAxis& axis = axes.axis[a];
    phase.step[a] = static_cast<int32_t>(axis.step);
    phase.offset[a] = static_cast<int32_t>(axis.offset);
    phase.first[a] = static_cast<int32_t>(axis.first_out);
    phase.stride[a] = static_cast<int32_t>(axis.out_step);
  }
  return phase;
}

// Lines of all phases, one phase after the other: channels slowest, then the taps.
struct ConvLines {
  std::vector<ConvAxes> phases;
  int64_t channels;        // that are summed over (or, for the weights, of a group)
  int64_t in_size[3];      // of the planes that are read
  int64_t weight_channel;  // distance of channels in the weights
  int64_t kernel[3];

  int64_t count() const {
    int64_t n = 0;
    for (const ConvAxes& axes : phases) n += channels * axes.taps();
    return n;
  }

  const ConvLine* table(const Kernel& call, const ConvGeometry& g, bool transposed) const {
    struct Key {
      int64_t channels, outputs, groups, in[3], kernel[3], stride[3], padding[3], dilation[3];
      int64_t transposed;
    } key{};
    key.channels = g.channels, key.outputs = g.outputs, key.groups = g.groups;
    for (int a = 0; a < 3; ++a) {
      key.in[a] = g.in[a], key.kernel[a] = g.kernel[a], key.stride[a] = g.stride[a];
      key.padding[a] = g.padding[a], key.dilation[a] = g.dilation[a];
    }
    key.transposed = transposed;
    std::string name = "convolution lines ";
    name.append(reinterpret_cast<const char*>(&key), sizeof key);
    return call.table<ConvLine>(name, count(), [&](ConvLine* to) { fill(to); });
  }

 private:
  void fill(ConvLine* to) const {
    const int64_t plane = in_size[1] * in_size[2];
    for (const ConvAxes& axes : phases) {
      const ConvAxis &d = axes.axis[0], &h = axes.axis[1], &w = axes.axis[2];
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t i = 0; i < d.taps; ++i) {
          for (int64_t j = 0; j < h.taps; ++j) {
            for (int64_t k = 0; k < w.taps; ++k) {
              const int64_t depth = i * d.tap_step, height = j * h.tap_step, width = k * w.tap_step;
              const int64_t tap = ((d.first_kernel + i * d.kernel_step) * kernel[1] +
                                   h.first_kernel + j * h.kernel_step) *
                                      kernel[2] +
                                  w.first_kernel + k * w.kernel_step;
              *to++ = {c * in_size[0] * plane + depth * plane + height * in_size[2] + width,
                       static_cast<int32_t>(height),
                       static_cast<int32_t>(width),
                       c * weight_channel + tap,
                       static_cast<int32_t>(depth),
                       0};
            }
          }
        }
      }
    }
  }
};

// Indices within a plane and positions are 32-bit in the kernels. False, with a fault for the next read, where
// they do not fit: a plane of more than 8 GB.
bool fits_convolution(const Kernel& call, const ConvGeometry& g);

// What a convolution and its gradient in x have in common, whatever the number of axes.
template <class T>
struct ConvCall {
  const Kernel* call;
  ConvGeometry g;
  const T* weights;
  GemmEpilogue<T> epilogue;
};

}  // namespace fluxion::cuda
