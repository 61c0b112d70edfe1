// Waiting until a file descriptor can be read or written.
#pragma once

#include <memory>

#include "stator/runtime/task.hpp"

namespace stator::inline runtime {

/// Owns a pollable file descriptor (inotify, eventfd, pipe, a foreign library's socket) and waits
/// for its readiness; reading and writing are the caller's, with plain system calls that must not
/// block. Loop-affine: made, used and destroyed on `loop`. No wait may be pending when it dies.
class Descriptor {
public:
    /// Takes `fd` over, and closes it at the end. Throws Error{internal}, detail "runtime.fd", when
    /// it is no open descriptor.
    Descriptor(Loop& loop, int fd);
    Descriptor(Descriptor&&) noexcept;
    Descriptor& operator=(Descriptor&&) noexcept;
    ~Descriptor();

    int fd() const noexcept;

    /// Waits until a read would not block (also when the other side has closed). One waiter per
    /// direction. Cancel safety: throws `cancelled`; nothing is consumed.
    /// Errors: Error{internal}, detail "runtime.fd": one that cannot be polled, as plain files.
    Task<> readable();
    /// The same for a write.
    Task<> writable();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Waits on the current loop for a descriptor that stays the caller's: for foreign libraries that
/// own their sockets. Nobody else may wait for the same descriptor in this loop meanwhile.
/// Cancel safety and errors: as Descriptor's.
Task<> readable(int fd);
Task<> writable(int fd);

}  // namespace stator::inline runtime
