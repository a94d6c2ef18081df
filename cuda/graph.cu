// Capturing a stream into a graph, replaying it, and giving single launches other parameters.
#include "graph.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "kernel_table.h"

namespace fluxion::cuda {

Graph::Captured::Captured(const LaunchArgs& args, size_t first)
    : op(args.op),
      params(args.params_bytes),
      inputs(args.inputs, args.inputs + args.n_inputs),
      outputs(args.outputs, args.outputs + args.n_outputs),
      numbers(2 * static_cast<size_t>(args.n_inputs)),
      first_kernel(first),
      kernels(0) {
  if (!params.empty()) std::memcpy(params.data(), args.params, params.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].scalar) continue;
    std::memcpy(&numbers[2 * i], inputs[i].data, size_of(inputs[i].dtype));
    inputs[i].data = &numbers[2 * i];
  }
}

LaunchArgs Graph::Captured::args() const {
  LaunchArgs args{};
  args.op = op;
  args.n_inputs = static_cast<int32_t>(inputs.size());
  args.n_outputs = static_cast<int32_t>(outputs.size());
  args.params = params.data();
  args.params_bytes = params.size();
  args.inputs = inputs.data();
  args.outputs = outputs.data();
  return args;
}

Graph::~Graph() {
  if (executable) cudaGraphExecDestroy(executable);
  if (graph) cudaGraphDestroy(graph);
  for (void* each : memory) cudaFree(each);
}

bool Queue::begin_capture() {
  cudaSetDevice(index_);
  wait(submitted_.load());  // no read is under way, and no thread puts an event into the stream
  capturing_ = std::make_unique<Graph>();
  if (!check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "capture")) {
    capturing_.reset();
    return false;
  }
  return true;
}

Graph* Queue::end_capture(char* reason, size_t reason_bytes) {
  cudaSetDevice(index_);
  std::unique_ptr<Graph> graph = std::move(capturing_);
  const cudaError_t ended = cudaStreamEndCapture(stream_, &graph->graph);
  const cudaError_t made =
      ended == cudaSuccess ? cudaGraphInstantiate(&graph->executable, graph->graph, 0) : ended;
  if (made != cudaSuccess) {
    cudaGetLastError();
    std::snprintf(reason, reason_bytes, "%s", cudaGetErrorString(made));
    return nullptr;
  }
  return graph.release();
}

uint64_t Queue::replay(Graph* graph) {
  cudaSetDevice(index_);
  profile_.begin(stream_);
  check(cudaGraphLaunch(graph->executable, stream_), "a captured step");
  if (ProfileRecord* record = profile_.end(stream_, kProfileReplay)) record->describe_copy(0);
  if (settings_.synchronous) check(cudaStreamSynchronize(stream_), "a captured step");
  return ++submitted_;
}

bool Queue::update(Graph* graph, int index, const void* params) {
  cudaSetDevice(index_);
  if (index < 0 || static_cast<size_t>(index) >= graph->launches.size()) return false;
  Graph::Captured& captured = graph->launches[static_cast<size_t>(index)];
  std::memcpy(captured.params.data(), params, captured.params.size());
  updating_ = graph;
  updated_lists_ = &captured.lists;
  list_at_ = 0;
  update_at_ = captured.first_kernel;
  run(captured.args(), graph->arena);
  updating_ = nullptr;
  updated_lists_ = nullptr;
  return update_at_ == captured.first_kernel + captured.kernels && !failed_.load();
}

void Queue::release_graph(Graph* graph) {
  wait(submitted_.load());
  cudaSetDevice(index_);
  delete graph;
}

}  // namespace fluxion::cuda
