// FileStore: a folder that any number of processes share, without a server.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "stator/store/key_value_store.hpp"

namespace stator::store {

/// Dynamo 1.6.1's layout, so one folder can be shared with it: docs/protocol/file-store.md.
/// Entries live 10 s after their owner's last touch; the owner touches them every 3.33 s; everyone
/// who uses a bucket removes what has run out in it. An owner that finds its file gone publishes it
/// again (`recovering`, counted). Every key a FileStore writes is owned by it: kept alive, and
/// removed by `close`; a lease only lets go of its keys earlier.
///
/// Errors: permission_denied, invalid_request or unavailable "store.folder" (the folder cannot be
/// used; by what the system said), unavailable "store.lock_timeout" (another process holds the
/// bucket's lock), unavailable "store.io", invalid_request "store.key" (longer than a file name).
class FileStore final : public KeyValueStore {
public:
    struct Options {
        std::filesystem::path root{};                    ///< made if it does not exist
        Duration ttl = std::chrono::seconds{10};         ///< at least 1 s; the same for all sharers
        Duration refresh_period{};                       ///< zero: a third of the TTL
        Duration sweep_period{};                         ///< zero: a third of the TTL
        Duration poll_period = std::chrono::seconds{1};  ///< where inotify does not work
        Duration lock_timeout = std::chrono::seconds{2};
        bool inotify = true;  ///< false: poll, as on a file system without it
    };

    /// `DYN_FILE_KV` is the caller's to read; without it the original uses this one.
    static std::filesystem::path default_root();

    /// Makes the folder if needed and checks that it can be written. Errors: as above.
    static Task<std::shared_ptr<FileStore>> open(Loop& loop, Options options);
    ~FileStore() override;

    std::string_view backend() const noexcept override { return "file"; }
    const std::filesystem::path& root() const noexcept;
    /// Whether changes of `bucket` are noticed by polling only. On the store's loop.
    bool polls(std::string_view bucket) const;

private:
    class Impl;
    FileStore(Loop& loop, Options options);

    Task<std::shared_ptr<LeaseBody>> do_grant_lease(LeaseOptions options) override;
    Task<> do_refresh(std::shared_ptr<LeaseBody> lease) override;
    Task<> do_revoke(std::shared_ptr<LeaseBody> lease) override;
    Task<std::optional<Entry>> do_get(std::string key) override;
    Task<std::vector<Entry>> do_list(std::string prefix) override;
    Task<> do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) override;
    Task<bool> do_create(std::string key, std::string value, std::shared_ptr<LeaseBody> lease)
        override;
    Task<bool> do_remove(std::string key) override;
    Task<Watch> do_watch(std::string prefix) override;
    Task<> do_close() override;

    std::unique_ptr<Impl> impl_;
};

}  // namespace stator::store
