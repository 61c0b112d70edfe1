#include "stator/store/file_store.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stator/store/keys.hpp"
#include "store/file_store_impl.hpp"

namespace stator::store {

namespace {

void check_options(FileStore::Options& options) {
    if (options.root.empty())
        throw Error{
            ErrorCode::invalid_request, "store.folder", "the file store needs the name of a folder"
        };
    if (options.ttl < std::chrono::seconds{1})
        throw Error{
            ErrorCode::invalid_request, "store.ttl", "the TTL of the file store is at least 1 s"
        };
    if (options.refresh_period <= Duration::zero()) options.refresh_period = options.ttl / 3;
    if (options.sweep_period <= Duration::zero()) options.sweep_period = options.ttl / 3;
}

}  // namespace

std::filesystem::path FileStore::default_root() {
    std::error_code ignored;  // then the folder is relative to "", which open refuses by name
    return std::filesystem::temp_directory_path(ignored) / "dynamo_store_kv";
}

// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters): a loop outlives its tasks
Task<std::shared_ptr<FileStore>> FileStore::open(Loop& loop, Options options) {
    check_options(options);
    std::shared_ptr<FileStore> store{new FileStore{loop, std::move(options)}};
    co_await on_loop(loop, store->impl_->start());
    co_return store;
}

FileStore::FileStore(Loop& loop, Options options)
    : KeyValueStore{loop}, impl_{std::make_unique<Impl>(*this, std::move(options))} {}

FileStore::~FileStore() = default;

const std::filesystem::path& FileStore::root() const noexcept { return impl_->options.root; }

bool FileStore::polls(std::string_view bucket) const {
    const FileBucket* known = impl_->find_bucket(bucket);
    return known != nullptr && known->polls;
}

Task<std::shared_ptr<LeaseBody>> FileStore::do_grant_lease(LeaseOptions options) {
    const auto& own = impl_->options;
    if (options.ttl != Duration::zero() && options.ttl != own.ttl)
        throw Error{
            ErrorCode::invalid_request,
            "store.ttl",
            fmt::format(
                "leases of this file store last {} s",
                std::chrono::duration<double>{own.ttl}.count()
            )
        };
    co_return add_lease(own.ttl, own.refresh_period, options.bound_to);
}

Task<> FileStore::do_refresh(std::shared_ptr<LeaseBody> lease) {
    return impl_->refresh(std::move(lease));
}

Task<> FileStore::do_revoke(std::shared_ptr<LeaseBody> lease) {
    return impl_->revoke(std::move(lease));
}

Task<std::optional<Entry>> FileStore::do_get(std::string key) { return impl_->get(std::move(key)); }

Task<std::vector<Entry>> FileStore::do_list(std::string prefix) {
    return impl_->list(std::move(prefix));
}

Task<> FileStore::do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) {
    co_await impl_->write(Entry{std::move(key), std::move(value)}, std::move(lease), false);
}

Task<bool> FileStore::do_create(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    return impl_->write(Entry{std::move(key), std::move(value)}, std::move(lease), true);
}

Task<bool> FileStore::do_remove(std::string key) { return impl_->remove(std::move(key)); }

Task<Watch> FileStore::do_watch(std::string prefix) { return impl_->watch(std::move(prefix)); }

Task<> FileStore::do_close() {
    impl_->stop();
    co_return;
}

}  // namespace stator::store
