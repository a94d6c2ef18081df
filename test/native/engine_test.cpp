// Thread pool, queue, memory cache and op path, without JavaScript.
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/engine.h"
#include "backend/plugin.h"
#include "core/thread_pool.h"
#include "cpu/cpu_backend.h"
#include "ops/diffusion.h"
#include "ops/shape.h"
#include "ops/shape_index.h"
#include "check.h"

using namespace fluxion;

namespace {

struct Machine {
  char reason[256] = {};
  Device device;
  Engine engine;
  explicit Machine(uint64_t limit = host_memory_limit())
      : device(cpu::backend(), cpu::backend()->open(0, reason, sizeof reason), "cpu", limit),
        engine(device) {}

  Tensor upload(const std::vector<float>& values, const Shape& shape) {
    Tensor t = engine.empty(DType::f32, shape, "test");
    device.write(t.view().data, values.data(), values.size() * sizeof(float));
    return t;
  }
  std::vector<float> read(const Tensor& t) {
    Tensor source = engine.contiguous(t);
    std::vector<float> values(static_cast<size_t>(source.view().size()));
    device.read(values.data(), source.view().data, values.size() * sizeof(float));
    device.drain();
    return values;
  }
  Tensor run(OpId op, std::vector<const Tensor*> inputs, const void* params = nullptr) {
    const NoParams none;
    std::vector<Operand> operands;
    for (const Tensor* t : inputs) operands.push_back({t, false, 0});
    Tensor out;
    engine.run(op, params ? params : &none, operands, 1, &out);
    return out;
  }
};

void test_thread_pool() {
  ThreadPool pool(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> hits(37, 0);
    pool.parallel_for(
        37, [&](int64_t block, int thread) { hits[static_cast<size_t>(block)] += 1 + 0 * thread; });
    bool once = true;
    for (const int h : hits) once = once && h == 1;
    CHECK(once);
    if (round == 100) pool.resize(2);
  }
  pool.parallel_for(0, [](int64_t, int) { CHECK(false); });
}

void test_order_and_reuse() {
  Machine m;
  // Long chains on memory that is freed and reused at once: right only if the queue keeps its order.
  const size_t n = 100000;  // too much work to run at once on the calling thread
  Tensor x = m.upload(std::vector<float>(n, 1.0f), {static_cast<int64_t>(n)});
  Tensor sum = m.upload(std::vector<float>(n, 0.0f), {static_cast<int64_t>(n)});
  for (int i = 0; i < 100; ++i) {
    Tensor doubled = m.run(OpId::add, {&x, &x});
    sum = m.run(OpId::add, {&sum, &doubled});
  }
  bool right = true;
  for (const float v : m.read(sum)) right = right && v == 200.0f;
  CHECK(right);
  CHECK(m.device.memory().live < 4 * n * sizeof(float) + 4096);
  CHECK(m.device.memory().peak < 6 * n * sizeof(float));
}

void test_uploads_wait_their_turn() {
  Machine m;
  const size_t n = 200000;
  // The block of `old` is reused by `fresh` while an op that reads it may still be queued.
  bool right = true;
  for (int i = 0; i < 20; ++i) {
    Tensor old = m.upload(std::vector<float>(n, 1.0f), {static_cast<int64_t>(n)});
    Tensor copy = m.run(OpId::add, {&old, &old});
    old.reset();
    Tensor fresh = m.upload(std::vector<float>(n, 5.0f), {static_cast<int64_t>(n)});
    for (const float v : m.read(copy)) right = right && v == 2.0f;
    for (const float v : m.read(fresh)) right = right && v == 5.0f;
  }
  CHECK(right);
}

void test_views() {
  Machine m;
  Tensor x = m.upload({0, 1, 2, 3, 4, 5}, {2, 3});
  PermuteParams transpose;
  transpose.dims = {1, 0};
  Tensor t = m.run(OpId::permute, {&x}, &transpose);
  CHECK(t.storage() == x.storage() && !t.view().contiguous());
  CHECK((m.read(t) == std::vector<float>{0, 3, 1, 4, 2, 5}));
  x.reset();
  CHECK((m.read(t) == std::vector<float>{0, 3, 1, 4, 2, 5}));  // the view keeps the storage
  ReshapeParams flat;
  flat.shape = {6};
  Tensor r = m.run(OpId::reshape, {&t}, &flat);  // not possible without a copy
  CHECK(r.storage() != t.storage());
  CHECK((m.read(r) == std::vector<float>{0, 3, 1, 4, 2, 5}));
}

template <class F>
bool throws(ErrorCode code, F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code == code;
  }
  return false;
}

void test_errors() {
  Machine m(uint64_t{64} << 20);
  Tensor x = m.upload({1, 2, 3}, {3});
  Tensor y = m.upload({1, 2}, {2});
  CHECK(throws(ErrorCode::ShapeMismatch, [&] { m.run(OpId::add, {&x, &y}); }));
  CHECK(throws(ErrorCode::OutOfMemory,
               [&] { m.engine.empty(DType::f32, {int64_t{1} << 26}, "test"); }));
  CHECK(throws(ErrorCode::OutOfMemory, [&] {
    m.engine.empty(DType::f64, {int64_t{1} << 40, int64_t{1} << 40}, "t");
  }));
  CHECK((m.read(x) == std::vector<float>{1, 2, 3}));  // the others live on

  // A fault that only the data can show comes with the next check, once.
  Tensor index = m.engine.empty(DType::i32, {1}, "test");
  const int32_t bad = 7;
  m.device.write(index.view().data, &bad, sizeof bad);
  IndexSelectParams along;
  along.dim = 0;
  Tensor picked = m.run(OpId::index_select, {&x, &index}, &along);
  m.device.drain();
  CHECK(throws(ErrorCode::InvalidArgument, [&] { m.device.check_faults(); }));
  m.device.check_faults();
  CHECK(std::isnan(m.read(picked)[0]));
}

void test_close_with_work_queued() {
  for (int i = 0; i < 20; ++i) {
    Machine m;
    Tensor x = m.upload(std::vector<float>(300000, 1.0f), {300000});
    for (int k = 0; k < 10; ++k) x = m.run(OpId::add, {&x, &x});
    // Tensors give their blocks back before the device ends its queue.
  }
  CHECK(true);
}

void test_checked_memory() {
  Machine m;
  m.device.set_checked(true);
  Tensor fresh = m.engine.empty(DType::f32, {3}, "test");
  CHECK(std::isnan(m.read(fresh)[0]));
  char* data = static_cast<char*>(fresh.view().data);
  const char before = data[12];
  data[12] = 1;  // one past the end
  CHECK(throws(ErrorCode::Internal, [&] { m.device.free(fresh.view().data, 12); }));
  data[12] = before;
}

// Small ops run on this thread, large ones on the queue's: both write the same list, in their order.
void test_profile() {
  Machine m;
  uint64_t dropped = 0;
  Tensor small = m.upload({1, 2, 3}, {3});
  m.device.profile_start(9);
  Tensor large = m.engine.empty(DType::f32, {400000}, "test");
  for (int round = 0; round < 3; ++round) {
    Tensor a = m.run(OpId::neg, {&small});
    Tensor b = m.run(OpId::neg, {&large});
    Tensor c = m.run(OpId::abs, {&b});
  }
  std::span<const ProfileRecord> records = m.device.profile_records(&dropped);
  CHECK(records.size() == 9 && dropped == 0);
  int64_t before = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const ProfileRecord& r = records[i];
    const bool is_small = i % 3 == 0;
    CHECK(r.begin >= before && r.end >= r.begin);
    before = r.end;
    CHECK(r.op == static_cast<int32_t>(i % 3 == 2 ? OpId::abs : OpId::neg));
    CHECK(r.bytes == (is_small ? 24u : 3200000u));
    CHECK(r.ndim[0] == 1 && r.ndim[1] == -1 && r.size[0][0] == (is_small ? 3 : 400000));
    CHECK(!r.inlined || is_small);
  }
  CHECK(records[0].inlined);
  Tensor more = m.run(OpId::neg, {&large});
  records = m.device.profile_records(&dropped);
  CHECK(dropped == 1 && records.size() == 9);
  m.device.profile_stop();
  Tensor after = m.run(OpId::neg, {&large});
  CHECK(m.device.profile_records(&dropped).empty());
  m.device.profile_start(4);
  m.read(after);
  const std::span<const ProfileRecord> reads = m.device.profile_records(&dropped);
  CHECK(reads.size() == 1 && reads[0].op == kProfileRead && reads[0].bytes == 3200000u);
}

void test_plugin() {
  CHECK(probe_plugin("").devices.empty());
  const PluginReport missing = probe_plugin("/nonexistent/libfluxion_cuda.so");
  CHECK(missing.api == nullptr && !missing.reason.empty());
  const PluginReport wrong = probe_plugin("libm.so.6");  // a library, but no back end
  CHECK(wrong.api == nullptr && wrong.reason.find(kBackendEntryName) != std::string::npos);
}

}  // namespace

int main() {
  test_thread_pool();
  test_order_and_reuse();
  test_uploads_wait_their_turn();
  test_views();
  test_errors();
  test_close_with_work_queued();
  test_checked_memory();
  test_profile();
  test_plugin();
  return fluxion::test::finish();
}
