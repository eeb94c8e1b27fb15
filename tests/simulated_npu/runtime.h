// What the simulated device shares between its files.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <string>

namespace simulated {

// Devices that this process sees.
int device_count();
// The device of this thread; a clear error where there is none.
int current_device();
void check_device(int index);

// Counts memory of a device; raises torch.OutOfMemoryError beyond the limit.
void take_memory(int device, size_t bytes);
void give_back_memory(int device, size_t bytes);
// Bytes of a device's memory that are held, or the most that were.
size_t memory_taken(int device, bool at_most);

// Allocates host memory as memory of the current device.
c10::Allocator* allocator();

// Value of an environment variable, empty where it is not set.
std::string setting(const char* name);

}  // namespace simulated
