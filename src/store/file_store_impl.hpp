// The working parts of a FileStore.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/store/file_store.hpp"
#include "store/file_bucket.hpp"
#include "store/folder_lock.hpp"
#include "store/inotify.hpp"

namespace stator::store {

/// Everything on the store's loop. Three kinds of tasks besides the calls: one keep-alive per lease
/// (KeyValueStore's), one that follows inotify, one that scans the folders when something may have
/// expired, and each second where there is no inotify.
class FileStore::Impl {
public:
    Impl(FileStore& store, Options options);

    /// Checks the folder and starts the tasks.
    Task<> start();
    void stop() noexcept;

    Task<std::optional<Entry>> get(std::string key);
    Task<std::vector<Entry>> list(std::string prefix);
    Task<bool> write(Entry entry, std::shared_ptr<LeaseBody> lease, bool only_new);
    Task<bool> remove(std::string key);
    Task<Watch> watch(std::string prefix);
    Task<> refresh(std::shared_ptr<LeaseBody> lease);
    Task<> revoke(std::shared_ptr<LeaseBody> lease);

    const Options options;

    FileBucket* find_bucket(std::string_view name) noexcept;

private:
    struct BucketLock {
        Permit turn;
        FolderLock folder;
    };
    struct Place {
        FileBucket* bucket;
        std::string file;
    };
    FileBucket& bucket(std::string_view name);
    Place place(std::string_view key);
    Task<std::optional<BucketLock>> lock(FileBucket* bucket, bool make);

    SystemResult<bool> publish_new(const Place& at, int folder, std::string_view value);
    void own(const Place& at, Entry entry, const std::shared_ptr<LeaseBody>& lease);
    void disown(const Place& at, const std::string& key);
    std::optional<Entry> read_listed(
        FileBucket& from, int folder, const std::string& file, std::string_view prefix
    );
    Task<> look_at_all(FileBucket* bucket, int folder);

    Task<> publish_again(std::shared_ptr<LeaseBody> lease, std::string key);
    Task<std::optional<Error>> remove_all(FileBucket* bucket, std::vector<Place> places);
    void own_file_is_gone(FileBucket& bucket, const std::string& file);

    Task<> follow_changes();
    void handle(const FolderEvent& event);
    void handle_file(FileBucket& bucket, const FolderEvent& event);
    Task<> scan_when_due();
    Task<> scan(FileBucket* bucket);
    static std::optional<TimePoint> scan_file(
        FileBucket& bucket, int folder, const std::string& file
    );
    Task<> scan_folder(FileBucket* bucket, const FileDescriptor* folder);
    TimePoint next_scan() const noexcept;
    void scan_soon(FileBucket& bucket) noexcept;
    Task<> sweep(FileBucket* bucket, std::vector<std::string> expired);
    bool sweep_one(FileBucket& bucket, int folder, const std::string& file, const FileInfo& info);
    void keep_watching(FileBucket& bucket);
    bool add_watch(FileBucket& bucket);

    FileStore& store_;
    std::map<std::string, std::unique_ptr<FileBucket>, std::less<>> buckets_;
    std::optional<Inotify> inotify_;
    CancellationToken scan_sooner_ = CancellationToken::make();
};

}  // namespace stator::store
