# The addon built by node-gyp, for environments that have it but no CMake. CMakeLists.txt is the
# primary build; the sources come from the same list, and flags that affect results must agree.
{
  "includes": ["native/sources.gypi"],
  "targets": [
    {
      "target_name": "fluxion",
      "type": "loadable_module",
      "sources": ["<@(fluxion_sources)"],
      "include_dirs": [
        "native",
        "<!(node -p \"require('node-api-headers').include_dir\")",
        "<!(node -p \"require('node-addon-api').include_dir\")"
      ],
      "defines": ["NAPI_VERSION=9", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      # Node's common.gypi turns exceptions and run-time type information off.
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
      "cflags_cc": [
        "-std=c++20",
        "-O3",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=fast",
        "-fvisibility=hidden",
        "-fvisibility-inlines-hidden",
        "-Wall",
        "-Wextra"
      ],
      "conditions": [
        ["OS=='linux'", {
          "libraries": ["-pthread", "-ldl"],
          "ldflags": ["-Wl,--version-script=<(module_root_dir)/native/exports.map"]
        }],
        ["OS=='mac'", {
          "xcode_settings": {
            "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
            "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
            "GCC_ENABLE_CPP_RTTI": "YES",
            "GCC_OPTIMIZATION_LEVEL": "3",
            "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
            "OTHER_CPLUSPLUSFLAGS": [
              "-fno-math-errno",
              "-fno-trapping-math",
              "-ffp-contract=fast"
            ]
          }
        }]
      ]
    }
  ]
}
