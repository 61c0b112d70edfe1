// What a thread keeps of freed frames, given back once nobody asks for it.
#pragma once

#include "stator/base/clock.hpp"

namespace stator::inline runtime::detail {

/// Gives blocks of sizes that this thread has not taken for a second or two back to the heap, some
/// at each call. For a loop that is about to sleep; returns when to call it again at the latest,
/// TimePoint::max() if nothing is kept.
TimePoint give_back_unused_frames() noexcept;

}  // namespace stator::inline runtime::detail
