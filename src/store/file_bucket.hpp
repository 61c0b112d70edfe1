// One folder of a FileStore, as far as this process knows it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/runtime/semaphore.hpp"
#include "store/folder.hpp"
#include "store/lease_body.hpp"
#include "store/watch_hub.hpp"

namespace stator::store {

inline constexpr std::size_t max_record_size = std::size_t{1} << 20U;

/// The view is brought up to date by looking (`examine`): whatever the events say, only what the
/// folder holds now counts, so that a late, doubled or lost event does no harm. Loop-affine; lives
/// as long as its store.
class FileBucket {
public:
    FileBucket(std::string name, std::filesystem::path folder, Duration ttl);

    const std::string name;  ///< "v1/instances"
    const std::filesystem::path folder;

    /// Held with the folder's lock: this process queues up before it bothers the others.
    Semaphore turn{1};

    /// Kept only once somebody watches; `viewed` then, `complete` after the first listing.
    std::shared_ptr<WatchHub> hub = std::make_shared<WatchHub>();
    bool viewed = false;
    bool complete = false;

    /// Of the folder's inotify watch; -1 without.
    int watch = -1;
    FileIdentity watched_folder;
    bool polls = false;
    bool resync = false;  ///< the next scan ends with a snapshot for every watcher
    TimePoint next_scan{};

    /// Our own files.
    std::unordered_map<std::string, std::shared_ptr<LeaseBody>> owners;

    /// The key of a file; nothing if its name is none that a key is written as.
    std::optional<std::string> key_of(const std::string& file) const;

    enum class Cause { scan, appeared, removed };
    /// Looks at one file and tells the watchers what has become of it. False: there is none.
    bool examine(int directory, const std::string& file, Cause cause);
    /// Takes the file out of the view.
    void forget(const std::string& file);
    /// The files that are in the view and not in `present`.
    std::vector<std::string> vanished(const std::vector<std::string>& present) const;

    /// Whether the file has not been touched for a TTL. Files from the future count from when they
    /// were first seen: a clock that was set back must neither kill the living nor keep the dead.
    bool has_expired(const std::string& file, const FileInfo& info);
    /// When it expires, on this thread's clock, if nobody touches it.
    TimePoint expiry(const FileInfo& info) const noexcept;

    /// Tells once about a file that cannot be used.
    void report_once(const std::string& file, const FileIdentity& identity, std::string_view why);
    void forget_reports_except(const std::vector<std::string>& files);

private:
    struct Seen {
        FileIdentity identity;
        WallTime modified = 0;
    };
    struct Unmoved {
        WallTime modified = 0;
        TimePoint since{};
    };
    void show(int directory, const std::string& file, const FileInfo& info);

    const WallTime ttl_;
    std::unordered_map<std::string, Seen> view_;
    std::unordered_map<std::string, Unmoved> future_;
    std::unordered_map<std::string, FileIdentity> reported_;
};

}  // namespace stator::store
