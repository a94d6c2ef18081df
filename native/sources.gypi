{
  "variables": {
    "fluxion_sources": [
      "native/backend/device.cpp",
      "native/backend/engine.cpp",
      "native/backend/plugin.cpp",
      "native/bindings/addon.cpp",
      "native/bindings/reads.cpp",
      "native/bindings/run_op.cpp",
      "native/bindings/tensor_handle.cpp",
      "native/core/thread_pool.cpp",
      "native/cpu/cpu_backend.cpp",
      "native/cpu/diffusion.cpp",
      "native/cpu/kernel_table.cpp",
      "native/cpu/matmul.cpp",
      "native/cpu/tridiagonal.cpp",
      "native/ops/diffusion.cpp",
      "native/ops/elementwise.cpp",
      "native/ops/linalg.cpp",
      "native/ops/op.cpp",
      "native/ops/random.cpp",
      "native/ops/reduce.cpp",
      "native/ops/registry.cpp",
      "native/ops/shape.cpp"
    ],
    "fluxion_test_sources": []
  }
}
