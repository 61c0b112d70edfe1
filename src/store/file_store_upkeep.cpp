// What a FileStore does by itself: follows changes, sweeps, keeps its own files there.
#include <algorithm>
#include <cerrno>
#include <source_location>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"
#include "store/file_name.hpp"
#include "store/file_store_impl.hpp"

namespace stator::store {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t files_per_turn = 128;
/// A scan for an expiry comes that much after it, so that it finds it.
constexpr Duration after_expiry = 5ms;

void report(
    Severity severity,
    const std::string& what,
    std::source_location where = std::source_location::current()
) {
    sink().report(severity, "stator::store", what, where);
}

}  // namespace

FileStore::Impl::Impl(FileStore& store, Options options_)
    : options{std::move(options_)}, store_{store} {}

Task<> FileStore::Impl::start() {
    if (const auto made = make_folders(options.root); !made)
        throw folder_error("making the discovery folder", options.root, made.error());
    const auto folder = open_folder(options.root);
    if (!folder) throw folder_error("opening the discovery folder", options.root, folder.error());
    if (const auto probed = probe_folder(folder->get()); !probed)
        throw folder_error("writing to the discovery folder", options.root, probed.error());
    if (options.inotify) inotify_ = Inotify::make(store_.loop());
    if (inotify_) store_.scope().spawn(follow_changes());
    store_.scope().spawn(scan_when_due());
    co_return;
}

void FileStore::Impl::stop() noexcept {
    for (const auto& [name, bucket] : buckets_) bucket->hub->close();
    inotify_.reset();
}

/// Touches what is there, publishes again what is not. Takes no lock for the first.
Task<> FileStore::Impl::refresh(std::shared_ptr<LeaseBody> lease) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : lease->keys) keys.push_back(key);
    std::vector<std::string> lost;
    std::optional<Error> failed;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (i % files_per_turn == files_per_turn - 1) co_await yield();
        const auto at = place(keys[i]);
        const auto path = at.bucket->folder / at.file;
        const auto touched = touch_file(path);
        if (!touched) failed = folder_error("touching", path, touched.error());
        if (touched && !*touched) lost.push_back(keys[i]);
    }
    if (!lost.empty() && lease->set_state(LeaseState::recovering))
        report(
            Severity::warn,
            fmt::format("{} of our records were removed by others, publishing again", lost.size())
        );
    for (auto& key : lost) co_await publish_again(lease, std::move(key));
    if (failed) throw std::move(*failed);
}

Task<> FileStore::Impl::publish_again(std::shared_ptr<LeaseBody> lease, std::string key) {
    const auto at = place(key);
    const auto held = co_await lock(at.bucket, true);
    const auto kept = lease->keys.find(key);
    if (lease->token.cancelled() || kept == lease->keys.end()) co_return;
    const int folder = held->folder.folder();
    // A name that is taken meanwhile was taken by another renewal of ours: it is our key.
    const auto published = publish_file(folder, at.file, kept->second);
    if (!published)
        throw folder_error("publishing again", at.bucket->folder / at.file, published.error());
    if (!*published) co_return;
    sink().count("store_recovered_keys_total", 1);
    keep_watching(*at.bucket);
    at.bucket->examine(folder, at.file, FileBucket::Cause::appeared);
}

void FileStore::Impl::own_file_is_gone(FileBucket& bucket, const std::string& file) {
    const auto owner = bucket.owners.find(file);
    if (owner != bucket.owners.end()) store_.renew_soon(owner->second);
}

Task<> FileStore::Impl::revoke(std::shared_ptr<LeaseBody> lease) {
    std::map<FileBucket*, std::vector<Place>> places;
    for (const auto& [key, value] : lease->keys) {
        auto at = place(key);
        places[at.bucket].push_back(std::move(at));
    }
    lease->keys.clear();
    std::optional<Error> failed;
    for (auto& [bucket, files] : places) {
        if (auto error = co_await remove_all(bucket, std::move(files))) failed = std::move(error);
    }
    if (failed) throw std::move(*failed);
}

/// Own files go even when the lock cannot be had: a stale record costs others more than a removal
/// that they do not expect.
Task<std::optional<Error>> FileStore::Impl::remove_all(
    FileBucket* bucket, std::vector<Place> places
) {
    const auto held = co_await as_result(lock(bucket, false));
    if (!held) sink().count("store_unlocked_removals_total", 1);
    const auto folder = open_folder(bucket->folder);
    std::optional<Error> failed;
    for (const auto& at : places) {
        bucket->owners.erase(at.file);
        if (!folder) continue;
        const auto removed = remove_file(folder->get(), at.file);
        if (!removed) failed = folder_error("removing", bucket->folder / at.file, removed.error());
        bucket->examine(folder->get(), at.file, FileBucket::Cause::removed);
    }
    if (!folder && folder.error() != ENOENT)
        failed = folder_error("opening", bucket->folder, folder.error());
    co_return failed;
}

Task<> FileStore::Impl::follow_changes() {
    for (;;) {
        // Only a defect of this process makes it fail; then the scans poll, from the next one on.
        if (const auto waited = co_await as_result(inotify_->readable()); !waited) {
            if (waited.error().code() == ErrorCode::cancelled) throw waited.error();
            report(Severity::error, fmt::format("inotify failed: {}", waited.error().what()));
            inotify_.reset();
            for (const auto& [name, bucket] : buckets_) {
                bucket->watch = -1;
                scan_soon(*bucket);
            }
            co_return;
        }
        for (const auto& event : inotify_->take()) handle(event);
    }
}

void FileStore::Impl::handle(const FolderEvent& event) {
    for (const auto& [name, bucket] : buckets_) {
        if (event.kind == FolderEvent::Kind::overflow) {
            bucket->resync = true;
            scan_soon(*bucket);
            continue;
        }
        if (event.watch != bucket->watch) continue;
        if (event.kind == FolderEvent::Kind::lost) {
            inotify_->remove(std::exchange(bucket->watch, -1));  // moved folders keep theirs
            bucket->resync = true;
            scan_soon(*bucket);
        } else if (!is_temporary_name(event.name)) {
            handle_file(*bucket, event);
        }
        return;
    }
    if (event.kind == FolderEvent::Kind::overflow) sink().count("store_overflows_total", 1);
}

void FileStore::Impl::handle_file(FileBucket& bucket, const FolderEvent& event) {
    const bool removed = event.kind == FolderEvent::Kind::removed;
    const bool own = bucket.owners.contains(event.name);
    if (!bucket.viewed && !(own && removed)) return;
    const auto folder = open_folder(bucket.folder);
    if (!folder) return scan_soon(bucket);
    const auto cause = removed ? FileBucket::Cause::removed : FileBucket::Cause::appeared;
    const auto planned = bucket.next_scan;
    const bool present = bucket.examine(folder->get(), event.name, cause);
    if (!present && own) own_file_is_gone(bucket, event.name);
    if (bucket.next_scan < planned) scan_sooner_.cancel();
}

TimePoint FileStore::Impl::next_scan() const noexcept {
    auto next = TimePoint::max();
    for (const auto& [name, bucket] : buckets_) next = std::min(next, bucket->next_scan);
    return next;
}

void FileStore::Impl::scan_soon(FileBucket& bucket) noexcept {
    bucket.next_scan = TimePoint{};
    scan_sooner_.cancel();
}

Task<> FileStore::Impl::scan_when_due() {
    for (;;) {
        if (!co_await sleep_until(Deadline::at(next_scan()), scan_sooner_))
            scan_sooner_ = CancellationToken::make();
        for (const auto& [name, bucket] : buckets_) {
            if (bucket->next_scan <= Clock::current().now()) co_await scan(bucket.get());
        }
    }
}

/// Looks at the whole folder: for what has expired, for what no event told about, for ourselves.
Task<> FileStore::Impl::scan(FileBucket* bucket) {
    bucket->next_scan = TimePoint::max();  // who wants a scan meanwhile, sets it earlier again
    const bool needed = bucket->viewed || !bucket->owners.empty();
    if (needed) {
        (void)make_folders(bucket->folder);  // without it the next line says what is wrong
        keep_watching(*bucket);
    }
    const auto folder = open_folder(bucket->folder);
    if (folder) {
        co_await scan_folder(bucket, &*folder);
    } else if (needed) {
        sink().count("store_scan_failures_total", 1);
    }
    const bool soon = bucket->polls || (needed && !folder);
    const auto period = soon ? options.poll_period : options.sweep_period;
    bucket->next_scan = std::min(bucket->next_scan, Clock::current().now() + period);
}

/// When the file will expire, nothing if it has. Our own do not, nor does what cannot be seen.
std::optional<TimePoint> FileStore::Impl::scan_file(
    FileBucket& bucket, int folder, const std::string& file
) {
    const auto info = inspect_file(folder, file);
    if (!info || !*info) return TimePoint::max();
    const bool own = bucket.owners.contains(file);
    if (!own && bucket.has_expired(file, **info)) {
        bucket.forget(file);  // for the watchers it is gone, even if the lock cannot be had
        return std::nullopt;
    }
    const auto expiry = own ? TimePoint::max() : bucket.expiry(**info);
    if (!is_temporary_name(file)) bucket.examine(folder, file, FileBucket::Cause::scan);
    return expiry;
}

Task<> FileStore::Impl::scan_folder(FileBucket* bucket, const FileDescriptor* folder) {
    const bool resync = std::exchange(bucket->resync, false);
    const auto files = list_folder(folder->get());
    if (!files) co_return;
    std::vector<std::string> expired;
    auto earliest = TimePoint::max();
    for (std::size_t i = 0; i < files->size(); ++i) {
        if (i % files_per_turn == files_per_turn - 1) co_await yield();
        if (const auto expiry = scan_file(*bucket, folder->get(), (*files)[i])) {
            earliest = std::min(earliest, *expiry);
        } else {
            expired.push_back((*files)[i]);
        }
    }
    for (const auto& file : bucket->vanished(*files))
        bucket->examine(folder->get(), file, FileBucket::Cause::scan);
    for (const auto& [file, lease] : bucket->owners) {
        if (const auto info = inspect_file(folder->get(), file); info && !*info)
            store_.renew_soon(lease);
    }
    bucket->forget_reports_except(*files);
    if (!expired.empty()) co_await sweep(bucket, std::move(expired));
    if (resync) bucket->hub->resync();
    if (earliest != TimePoint::max())
        bucket->next_scan = std::min(bucket->next_scan, earliest + after_expiry);
}

/// Removes what has expired. When the lock cannot be had it stays for the next scan.
Task<> FileStore::Impl::sweep(FileBucket* bucket, std::vector<std::string> expired) {
    const auto held = co_await as_result(lock(bucket, false));
    if (!held || !*held) co_return;
    const int folder = (*held)->folder.folder();
    for (std::size_t i = 0; i < expired.size(); ++i) {
        if (i % files_per_turn == files_per_turn - 1) co_await yield();
        const auto info = inspect_file(folder, expired[i]);
        if (info && *info) sweep_one(*bucket, folder, expired[i], **info);
    }
}

/// True if the file has expired and is gone now. Our own do not expire: their renewal is late.
bool FileStore::Impl::sweep_one(
    FileBucket& bucket, int folder, const std::string& file, const FileInfo& info
) {
    if (bucket.owners.contains(file) || !bucket.has_expired(file, info)) return false;
    bucket.forget(file);
    if (!remove_file(folder, file)) return false;
    sink().count("store_swept_total", 1);
    report(
        Severity::info, fmt::format("removed the expired {} in {}", file, bucket.folder.string())
    );
    return true;
}

/// Makes sure that inotify tells about the folder which is under the name now, or that it is
/// polled.
void FileStore::Impl::keep_watching(FileBucket& bucket) {
    const bool polled = bucket.polls;
    bucket.polls = !(inotify_ && add_watch(bucket) && has_change_events(bucket.folder));
    if (bucket.polls && !polled) scan_soon(bucket);
}

bool FileStore::Impl::add_watch(FileBucket& bucket) {
    const auto present = identify_folder(bucket.folder);
    if (!present) return true;  // nothing to watch, and nothing to poll
    if (bucket.watch >= 0 && bucket.watched_folder == *present) return true;
    if (bucket.watch >= 0) {
        inotify_->remove(std::exchange(bucket.watch, -1));
        bucket.resync = true;
        scan_soon(bucket);
    }
    const auto added = inotify_->add(bucket.folder);
    if (!added) return false;
    bucket.watch = *added;
    bucket.watched_folder = *present;
    return true;
}

}  // namespace stator::store
