// The stack of another thread, as it is at this moment.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"

namespace stator::inline runtime::detail {

/// While one lives, SIGURG is answered by writing down the stack of the thread that takes it; it is
/// left alone when the application handles it itself. Its default is to be ignored, so one that
/// comes late does no harm. One of them asks at a time.
class StackReader {
public:
    StackReader() noexcept;
    StackReader(const StackReader&) = delete;
    StackReader& operator=(const StackReader&) = delete;
    ~StackReader();

    /// Return addresses, innermost first, without those of the reading itself; nothing when the
    /// thread is gone or has not answered within `patience` (it blocks the signal, or the
    /// application handles it).
    std::optional<std::vector<const void*>> read(pid_t thread, Duration patience);

private:
    bool ours_ = false;
};

/// One line per frame: the function if its name is known, else the file and the offset in it, which
/// addr2line understands.
std::string describe(const std::vector<const void*>& frames);

}  // namespace stator::inline runtime::detail
