// Memory for coroutine frames and other small blocks that come and go with every call.
#pragma once

#include <cstddef>

namespace stator::inline runtime::detail {

/// Small blocks from free lists of this thread, larger ones from the heap. A block may be freed on
/// another thread than the one that took it; each list is bounded, what is above the bound goes
/// back to the heap. Under Address- and ThreadSanitizer everything comes from the heap, so that a
/// use after free is seen.
void* take_frame(std::size_t size);
void give_frame(void* block, std::size_t size) noexcept;

/// While a thread runs a loop its lists may grow well beyond their bound: the heap is slow when a
/// hundred thousand tasks end in one turn. Other threads never trim.
void let_frames_pile_up(bool allowed) noexcept;
/// Gives some of what has piled up back to the heap; true if there is more. For a loop that has
/// nothing better to do.
bool trim_frames() noexcept;

}  // namespace stator::inline runtime::detail
