// The device itself: memory, streams, events, guard and hooks, all on the host.

#include "runtime.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <vector>

namespace simulated {
namespace {

constexpr auto kNpu = c10::DeviceType::PrivateUse1;
constexpr int kMostDevices = 64;

thread_local int the_device = 0;

struct Memory {
  std::mutex mutex;
  c10::CachingAllocator::Stat bytes;
};

Memory& memory_of(int device) {
  static Memory memories[kMostDevices];
  return memories[device];
}

size_t limit() {
  static const auto bytes = setting("SIMULATED_NPU_MEMORY");
  return bytes.empty() ? 0 : std::stoull(bytes);
}

struct Block {
  void* data;
  int device;
  size_t bytes;
};

void release(void* context) {
  auto* block = static_cast<Block*>(context);
  give_back_memory(block->device, block->bytes);
  std::free(block->data);
  delete block;
}

// No c10::DeviceAllocator, as torch_npu's is none before 2.13: of torch.accelerator's memory
// functions each is an error.
struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const int device = current_device();
    take_memory(device, bytes);
    void* data = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    return {data, new Block{data, device, bytes}, &release, c10::Device(kNpu, device)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

Allocator the_allocator;
REGISTER_ALLOCATOR(kNpu, &the_allocator);

double now() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Work is done when the call that asks for it returns: a stream has nothing to wait for.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kNpu; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {kNpu, c10::DeviceIndex(the_device)}; }
  void setDevice(c10::Device device) const override {
    check_device(device.index());
    the_device = device.index();
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    the_device = device.index();
  }
  c10::Stream getStream(c10::Device device) const override { return getDefaultStream(device); }
  c10::Stream getDefaultStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override {
    return getDefaultStream(device);
  }
  c10::Stream getNewStream(c10::Device device, int) const override {
    return getDefaultStream(device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return getDefaultStream(stream.device());
  }
  c10::DeviceIndex deviceCount() const noexcept override {
    return static_cast<c10::DeviceIndex>(device_count());
  }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(c10::DeviceIndex) const override {}
  void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {
    if (*event == nullptr) *event = new double;
    *static_cast<double*>(*event) = now();
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<double*>(event);
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  double elapsedTime(void* from, void* to, c10::DeviceIndex) const override {
    return *static_cast<double*>(to) - *static_cast<double*>(from);
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// Random numbers come from the host's generator, so that runs equal those on a CPU.
struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  void init() const override {}
  c10::DeviceIndex deviceCount() const override {
    return static_cast<c10::DeviceIndex>(device_count());
  }
  void setCurrentDevice(c10::DeviceIndex device) const override {
    check_device(device);
    the_device = device;
  }
  c10::DeviceIndex getCurrentDevice() const override {
    return static_cast<c10::DeviceIndex>(the_device);
  }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    const auto before = getCurrentDevice();
    setCurrentDevice(device);
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return device < 0 ? getCurrentDevice() : exchangeDevice(device);
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::detail::createCPUGenerator();
  }
  at::Device getDeviceFromPtr(void*) const override {
    return {kNpu, c10::DeviceIndex(the_device)};
  }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    return c10::GetAllocator(c10::DeviceType::CPU);
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    auto data = the_allocator.allocate(bytes);
    the_allocator.copy_data(data.get(), storage.data(), std::min(bytes, storage.nbytes()));
    storage.set_data_ptr_noswap(std::move(data));
    storage.set_nbytes(bytes);
  }
};

const bool hooks_are_registered = [] {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
  return true;
}();

}  // namespace

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int device_count() {
  static const int count = [] {
    const auto all = setting("SIMULATED_NPU_DEVICES");
    const int there = std::min(kMostDevices, all.empty() ? 8 : std::stoi(all));
    if (std::getenv("ASCEND_RT_VISIBLE_DEVICES") == nullptr) return there;
    // as torch_npu reads it: to the first character that is neither a digit nor a comma, and no
    // device where the numbers do not ascend
    std::stringstream listed(setting("ASCEND_RT_VISIBLE_DEVICES"));
    int found = 0;
    for (int id = 0, before = -1; listed >> std::noskipws >> id; before = id, ++found) {
      if (id <= before) return 0;
      if (listed.get() != ',') return std::min(there, found + 1);
    }
    return std::min(there, found);
  }();
  return count;
}

int current_device() {
  check_device(the_device);
  return the_device;
}

void check_device(int index) {
  TORCH_CHECK(device_count() > 0, "No NPUs are available. [ERROR] ERR00009 resource unavailable");
  TORCH_CHECK(index >= 0 && index < device_count(), "Invalid NPU device ", index, " of ",
              device_count(), ". [ERROR] ERR00003 value error");
}

void take_memory(int device, size_t bytes) {
  auto& memory = memory_of(device);
  const std::lock_guard lock(memory.mutex);
  const auto used = static_cast<size_t>(memory.bytes.current);
  TORCH_CHECK_WITH(OutOfMemoryError, limit() == 0 || used + bytes <= limit(),
                   "NPU out of memory. Tried to allocate ", bytes, " bytes on device ", device,
                   " where ", used, " of ", limit(), " are in use");
  memory.bytes.increase(bytes);
}

void give_back_memory(int device, size_t bytes) {
  auto& memory = memory_of(device);
  const std::lock_guard lock(memory.mutex);
  memory.bytes.decrease(bytes);
}

size_t memory_taken(int device, bool at_most) {
  check_device(device);
  auto& memory = memory_of(device);
  const std::lock_guard lock(memory.mutex);
  return at_most ? memory.bytes.peak : memory.bytes.current;
}

c10::Allocator* allocator() {
  return &the_allocator;
}

}  // namespace simulated
