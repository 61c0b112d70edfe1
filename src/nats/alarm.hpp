// Alarm: what wakes a thread that waits for a descriptor.
#pragma once

#include <atomic>

namespace stator::nats {

/// Any thread rings; one listens to `descriptor()`, which can be read from the first ring on until
/// `quiet`. Rings in between cost no system call.
class Alarm {
public:
    /// Errors: Error unavailable "nats.descriptor" when the process has no descriptor left.
    Alarm();
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;
    ~Alarm();

    int descriptor() const noexcept { return descriptor_; }
    void ring() noexcept;
    /// Whoever has rung before this has made it heard: the listener looks what there is after it.
    void quiet() noexcept;

private:
    int descriptor_;
    std::atomic<bool> rung_{false};
};

}  // namespace stator::nats
