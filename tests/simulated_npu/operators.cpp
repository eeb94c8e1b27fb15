// Operators: the host's kernels on the device's memory, through one boxed function.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/_to_copy_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/extension.h>

#include <cstdio>
#include <set>
#include <sstream>

#include "runtime.h"

namespace simulated {
namespace {

constexpr auto kNpu = c10::DeviceType::PrivateUse1;

bool on_npu(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == kNpu;
}

// A tensor of the host in the memory of one of the device.
at::Tensor on_host(const at::Tensor& tensor) {
  if (!on_npu(tensor)) return tensor;
  auto* storage = new c10::Storage(tensor.storage());
  c10::DataPtr data(storage->mutable_data(), storage,
                    [](void* held) { delete static_cast<c10::Storage*>(held); }, at::kCPU);
  c10::Storage shared(c10::Storage::use_byte_size_t(), tensor.storage().nbytes(), std::move(data),
                      c10::GetAllocator(at::kCPU), true);
  auto host = at::detail::make_tensor<c10::TensorImpl>(
      std::move(shared), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  host.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(),
                                                    tensor.storage_offset());
  return host;
}

struct Held {
  c10::Storage storage;
  int device;
  size_t bytes;
};

c10::DataPtr taken(const c10::Storage& host, c10::Device device) {
  take_memory(device.index(), host.nbytes());
  auto* held = new Held{host, device.index(), host.nbytes()};
  return {host.mutable_data(), held,
          [](void* context) {
            auto* it = static_cast<Held*>(context);
            give_back_memory(it->device, it->bytes);
            delete it;
          },
          device};
}

at::Tensor with_storage(c10::Storage storage, const at::Tensor& like) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), like.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(),
                                                    like.storage_offset());
  return made;
}

// A call's tensors of the device, each with the host's tensor that stands in for it.
class Call {
 public:
  explicit Call(const c10::OperatorHandle& op) : name_(op.schema().name()) {
    std::ostringstream full;
    full << op.schema().operator_name();
    full_name_ = full.str();
  }

  const std::string& name() const { return name_; }
  const std::string& full_name() const { return full_name_; }

  void look_at(const c10::IValue& value) {
    if (value.isTensor()) look_at(value.toTensor());
    else if (value.isTensorList())
      for (const at::Tensor& tensor : value.toTensorVector()) look_at(tensor);
    else if (value.isOptionalTensorList())
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
        if (tensor) look_at(*tensor);
    if (value.isDevice() && value.toDevice().type() == kNpu) device_ = value.toDevice();
  }

  // Like on real devices; indices may be on the host.
  void refuse_mixed() const {
    const bool index = name_.rfind("aten::index", 0) == 0 || name_ == "aten::_index_put_impl_";
    TORCH_CHECK(!host_tensors_ || originals_.empty() || index,
                "Expected all tensors to be on the same device, but found at least two devices, "
                "npu:", device_.index(), " and cpu! (when calling ", full_name_, ")");
  }

  c10::IValue to_host(const c10::IValue& value) {
    if (value.isTensor()) return stand_in(value.toTensor());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(stand_in(tensor));
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
        list.push_back(tensor ? std::optional(stand_in(*tensor)) : std::nullopt);
      return list;
    }
    if (value.isDevice() && value.toDevice().type() == kNpu) return c10::Device(at::kCPU);
    if (value.isGenerator()) return at::detail::getDefaultCPUGenerator();
    return value;
  }

  // Tensors that the call has enlarged have other memory now.
  void follow_resized() {
    for (size_t i = 0; i < originals_.size(); ++i) {
      const at::Tensor &original = originals_[i], &host = hosts_[i];
      if (host.storage().data() != original.storage().data() ||
          host.storage().nbytes() != original.storage().nbytes()) {
        auto storage = original.storage();
        storage.set_data_ptr_noswap(taken(host.storage(), original.device()));
        storage.set_nbytes(host.storage().nbytes());
      }
      if (host.sizes() != original.sizes() || host.strides() != original.strides())
        original.unsafeGetTensorImpl()->set_sizes_and_strides(host.sizes(), host.strides());
    }
  }

  c10::IValue to_device(const c10::IValue& value) {
    if (value.isTensor()) return returned(value.toTensor());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(returned(tensor));
      return list;
    }
    return value;
  }

 private:
  void look_at(const at::Tensor& tensor) {
    if (on_npu(tensor)) {
      device_ = tensor.device();
      stand_in(tensor);
    } else if (tensor.defined() && tensor.dim() > 0) {
      host_tensors_ = true;
    }
  }

  at::Tensor stand_in(const at::Tensor& tensor) {
    if (!on_npu(tensor)) return tensor;
    for (size_t i = 0; i < originals_.size(); ++i)
      if (originals_[i].is_same(tensor)) return hosts_[i];
    originals_.push_back(tensor);
    hosts_.push_back(on_host(tensor));
    return hosts_.back();
  }

  at::Tensor returned(const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    for (size_t i = 0; i < hosts_.size(); ++i)
      if (hosts_[i].is_same(tensor)) return originals_[i];
    for (size_t i = 0; i < hosts_.size(); ++i)
      if (hosts_[i].is_alias_of(tensor)) return with_storage(originals_[i].storage(), tensor);
    c10::Storage storage(c10::Storage::use_byte_size_t(), tensor.storage().nbytes(),
                         taken(tensor.storage(), device_), allocator(), true);
    return with_storage(std::move(storage), tensor);
  }

  std::string name_, full_name_;
  c10::Device device_{kNpu, 0};
  bool host_tensors_ = false;
  std::vector<at::Tensor> originals_, hosts_;
};

bool listed(const std::string& list, const Call& call, double* value = nullptr) {
  std::istringstream entries(list);
  for (std::string entry; std::getline(entries, entry, ',');) {
    const auto equals = entry.find('=');
    const auto name = entry.substr(0, equals);
    if (name != call.name() && name != call.full_name()) continue;
    if (value != nullptr && equals != std::string::npos) *value = std::stod(entry.substr(equals + 1));
    return true;
  }
  return false;
}

// What torch_npu does about an operator that an NPU lacks, in its words.
void fall_back(const Call& call) {
  static const auto unsupported = setting("SIMULATED_NPU_UNSUPPORTED");
  if (unsupported.empty() || !listed(unsupported, call)) return;
  static const bool has_switch = setting("SIMULATED_NPU_HAS_NO_SWITCH").empty();
  TORCH_CHECK(!has_switch || setting("TORCH_NPU_FALLBACK_CPU_DISABLE") != "1", "The operator '",
              call.full_name(), "' would execute its main computation on CPU through dispatcher "
              "backend fallback, but CPU fallback is disabled by TORCH_NPU_FALLBACK_CPU_DISABLE=1.");
  static const bool tells = setting("TORCH_NPU_DISABLED_WARNING") != "1" &&
                            setting("TORCH_NPU_WARNING_DISABLE") != "1" &&
                            (setting("RANK").empty() || setting("RANK") == "0");
  static std::set<std::string> told;
  if (tells && told.insert(call.full_name()).second) {
    std::fprintf(stderr,
                 "[W VariableFallbackKernel.cpp:1] Warning: CAUTION: The operator '%s' is not "
                 "currently supported on the NPU backend and will fall back to run on the CPU. This "
                 "may have performance implications. (function npu_cpu_fallback)\n",
                 call.full_name().c_str());
  }
}

void perturb(const Call& call, torch::jit::Stack& stack, size_t first) {
  static const auto perturbed = setting("SIMULATED_NPU_PERTURB");
  double by = 0;
  if (perturbed.empty() || !listed(perturbed, call, &by)) return;
  for (size_t i = first; i < stack.size(); ++i)
    if (stack[i].isTensor() && stack[i].toTensor().defined() &&
        stack[i].toTensor().is_floating_point())
      stack[i].toTensor().mul_(1 + by);
}

void run(const c10::OperatorHandle& op, const c10::OperatorHandle& kernel,
         torch::jit::Stack* stack) {
  Call call(op);
  const size_t first = stack->size() - kernel.schema().arguments().size();
  for (size_t i = first; i < stack->size(); ++i) call.look_at((*stack)[i]);
  call.refuse_mixed();
  fall_back(call);
  for (size_t i = first; i < stack->size(); ++i) (*stack)[i] = call.to_host((*stack)[i]);
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    kernel.callBoxed(stack);
    perturb(call, *stack, first);
  }
  call.follow_resized();
  for (size_t i = first; i < stack->size(); ++i) (*stack)[i] = call.to_device((*stack)[i]);
}

void any_operator(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  run(op, op, stack);
}

c10::OperatorHandle find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
}

void convolution(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  run(op, find("aten::convolution"), stack);
}

void convolution_backward(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const size_t first = stack->size() - op.schema().arguments().size();
  const at::Tensor weight = (*stack)[first + 2].toTensor();
  const bool transposed = (*stack)[first + 6].toBool();
  const int64_t channels = weight.size(transposed ? 1 : 0) *
                           (transposed ? (*stack)[first + 8].toInt() : 1);
  stack->insert(stack->begin() + first + 3, c10::List<int64_t>({channels}));
  run(op, find("aten::convolution_backward"), stack);
}

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype,
                 std::optional<c10::Layout>, std::optional<c10::Device> device,
                 std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(size, allocator(),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

// What a module's or a tensor's .to(memory_format=…) calls.
at::Tensor to_copy(const at::Tensor& self, std::optional<c10::ScalarType> dtype,
                   std::optional<c10::Layout> layout, std::optional<c10::Device> device,
                   std::optional<bool> pin_memory, bool non_blocking,
                   std::optional<c10::MemoryFormat> format) {
  TORCH_CHECK(!format || *format == c10::MemoryFormat::Contiguous ||
                  *format == c10::MemoryFormat::Preserve,
              "NPU does not support memory format ", *format);
  return at::native::_to_copy(self, dtype, layout, device, pin_memory, non_blocking, format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride,
                         std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                         std::optional<c10::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(size, stride, allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  on_host(to).copy_(on_host(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

void record_stream(at::Tensor&, c10::Stream) {}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&any_operator>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_to_copy", &to_copy);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("unfold", &at::native::unfold);
  m.impl("resize_", &at::native::resize_);
  m.impl("set_.source_Storage", static_cast<at::Tensor& (*)(at::Tensor&, at::Storage)>(&at::native::set_));
  m.impl("set_.source_Storage_storage_offset", &at::native::set_storage_cpu_);
  m.impl("set_.source_Tensor", &at::native::set_tensor_);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("record_stream", &record_stream);
  // these have kernels for every device, which only say that there is none
  m.impl("convolution_overrideable",
         torch::CppFunction::makeFromBoxedFunction<&convolution>());
  m.impl("convolution_backward_overrideable",
         torch::CppFunction::makeFromBoxedFunction<&convolution_backward>());
}

// Autocast by the lists of CUDA, as torch_npu has them.
using namespace at::autocast;  // NOLINT: the macros name its functions
#define LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define FULL(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define FULL_BY_DTYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define WIDEST(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  AT_FORALL_LOWER_PRECISION_FP(LOWER)
  AT_FORALL_FP32(FULL)
  AT_FORALL_FP32_SET_OPT_DTYPE(FULL_BY_DTYPE)
  AT_FORALL_PROMOTE(WIDEST)
}

// Collectives: gloo's, on the host's tensors that stand in for the device's.
class Hccl final : public c10d::Backend {
 public:
  explicit Hccl(c10::intrusive_ptr<c10d::Backend> gloo)
      : Backend(gloo->getRank(), gloo->getSize()), gloo_(std::move(gloo)) {}

  const std::string getBackendName() const override { return "hccl"; }

  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    auto hosts = on_hosts(tensors);
    return gloo_->broadcast(hosts, options);
  }
  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override {
    auto hosts = on_hosts(tensors);
    return gloo_->allreduce(hosts, options);
  }
  c10::intrusive_ptr<c10d::Work> allreduce_coalesced(
      std::vector<at::Tensor>& tensors, const c10d::AllreduceCoalescedOptions& options) override {
    auto hosts = on_hosts(tensors);
    return gloo_->allreduce_coalesced(hosts, options);
  }
  c10::intrusive_ptr<c10d::Work> reduce(std::vector<at::Tensor>& tensors,
                                        const c10d::ReduceOptions& options) override {
    auto hosts = on_hosts(tensors);
    return gloo_->reduce(hosts, options);
  }
  c10::intrusive_ptr<c10d::Work> allgather(std::vector<std::vector<at::Tensor>>& outputs,
                                           std::vector<at::Tensor>& inputs,
                                           const c10d::AllgatherOptions& options) override {
    std::vector<std::vector<at::Tensor>> into;
    for (auto& list : outputs) into.push_back(on_hosts(list));
    auto hosts = on_hosts(inputs);
    return gloo_->allgather(into, hosts, options);
  }
  c10::intrusive_ptr<c10d::Work> _allgather_base(at::Tensor& output, at::Tensor& input,
                                                 const c10d::AllgatherOptions& options) override {
    auto into = on_host(output), from = on_host(input);
    return gloo_->_allgather_base(into, from, options);
  }
  c10::intrusive_ptr<c10d::Work> barrier(const c10d::BarrierOptions& options) override {
    auto here = options;
    here.device = std::nullopt;
    here.device_ids.clear();
    return gloo_->barrier(here);
  }

 private:
  static std::vector<at::Tensor> on_hosts(const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> hosts;
    for (const auto& tensor : tensors) hosts.push_back(on_host(tensor));
    return hosts;
  }

  c10::intrusive_ptr<c10d::Backend> gloo_;
};

}  // namespace
}  // namespace simulated

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("device_count", &simulated::device_count);
  m.def("memory_taken", &simulated::memory_taken);
  m.def("hccl", [](c10::intrusive_ptr<c10d::Backend> gloo) -> c10::intrusive_ptr<c10d::Backend> {
    return c10::make_intrusive<simulated::Hccl>(std::move(gloo));
  });
}
