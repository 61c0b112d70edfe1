// Change events of folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "stator/runtime/readiness.hpp"
#include "store/folder.hpp"

namespace stator::store {

struct FolderEvent {
    enum class Kind : std::uint8_t {
        appeared = 1,  ///< a file was linked or moved here, or written to its end in place
        removed = 2,   ///< a file was removed or moved away
        lost = 3,      ///< the folder itself is gone: its watch has ended
        overflow = 4,  ///< events were dropped; which folders are concerned is unknown
    };
    Kind kind = Kind::overflow;
    int watch = -1;
    std::string name;
};

/// Loop-affine, like its descriptor.
class Inotify {
public:
    /// Nothing when the system has no inotify (left).
    static std::optional<Inotify> make(Loop& loop);

    /// The number of the watch; a folder that is watched already keeps its number.
    SystemResult<int> add(const std::filesystem::path& folder);
    void remove(int watch) noexcept;
    /// Waits until there are events. Cancel safety: throws `cancelled`, none is lost.
    Task<> readable() { return descriptor_.readable(); }
    /// What has happened, oldest first; empty when nothing has.
    std::vector<FolderEvent> take();

private:
    explicit Inotify(Descriptor descriptor) noexcept : descriptor_{std::move(descriptor)} {}
    Descriptor descriptor_;
};

}  // namespace stator::store
