// Builds the op table from ops.def. Adding an op does not touch this file; a new family adds an include.
#include "ops/registry.h"

#include "ops/params.h"

namespace fluxion {

#define FLUXION_OP(id, Params, inputs, outputs) void infer_##id(const Params& params, Infer& infer);
#define FLUXION_VIEW(id, Params) void infer_##id(const Params& params, Infer& infer);
#include "ops/ops.def"
#undef FLUXION_OP
#undef FLUXION_VIEW

namespace {

template <class Params, void (*kInfer)(const Params&, Infer&)>
constexpr OpInfo make(const char* name, int inputs, int outputs, bool view) {
  static_assert(std::is_trivially_copyable_v<Params> && sizeof(Params) <= kMaxParamBytes);
  return {
      name,
      inputs,
      outputs,
      view,
      std::is_same_v<Params, NoParams> ? 0 : sizeof(Params),
      [](ParamReader& reader, void* params) {
        // The op's name is filled in by the caller of decode when it reports the error.
        ParamDecoder decoder("", reader);
        static_cast<Params*>(params)->visit(decoder);
      },
      [](std::string& out) {
        ParamNames names(out);
        Params params{};
        params.visit(names);
      },
      [](const void* params, Infer& infer) { kInfer(*static_cast<const Params*>(params), infer); }};
}

}  // namespace

const OpInfo kOps[kOpCount] = {
#define FLUXION_OP(id, Params, inputs, outputs) \
  make<Params, infer_##id>(#id, inputs, outputs, false),
#define FLUXION_VIEW(id, Params) make<Params, infer_##id>(#id, 1, 1, true),
#include "ops/ops.def"
#undef FLUXION_OP
#undef FLUXION_VIEW
};

uint64_t registry_fingerprint() {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  const auto mix = [&hash](const std::string& text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  };
  for (const OpInfo& op : kOps) {
    std::string names;
    op.names(names);
    mix(std::string(op.name) + '(' + names + ')' + std::to_string(op.params_bytes) + ';');
  }
  return hash;
}

}  // namespace fluxion
