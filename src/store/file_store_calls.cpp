// What callers and leases ask of a FileStore.
#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "stator/runtime/timer.hpp"
#include "stator/store/keys.hpp"
#include "store/file_name.hpp"
#include "store/file_store_impl.hpp"

namespace stator::store {

namespace {

/// How many files are handled between two turns of the loop.
constexpr std::size_t files_per_turn = 128;

Task<Permit> take_turn(Semaphore* turn) { co_return co_await turn->acquire(); }

Error io_error(std::string_view doing, const std::filesystem::path& path, int number) {
    return folder_error(doing, path, number).with_detail("store.io");
}

}  // namespace

FileBucket* FileStore::Impl::find_bucket(std::string_view name) noexcept {
    const auto found = buckets_.find(name);
    return found == buckets_.end() ? nullptr : found->second.get();
}

FileBucket& FileStore::Impl::bucket(std::string_view name) {
    if (FileBucket* known = find_bucket(name)) return *known;
    std::string text{name};
    auto fresh = std::make_unique<FileBucket>(text, options.root / text, options.ttl);
    FileBucket& made = *buckets_.emplace(std::move(text), std::move(fresh)).first->second;
    scan_soon(made);
    return made;
}

FileStore::Impl::Place FileStore::Impl::place(std::string_view key) {
    const auto parts = split_key(key);
    if (!parts) throw parts.error();
    auto file = encode_file_name(parts->rest);
    if (file.size() > max_file_name_size)
        throw Error{
            ErrorCode::invalid_request,
            "store.key",
            fmt::format(
                "the key {} makes a file name of {} bytes, {} are possible",
                key,
                file.size(),
                max_file_name_size
            )
        };
    return Place{&bucket(parts->bucket), std::move(file)};
}

Task<std::optional<FileStore::Impl::BucketLock>> FileStore::Impl::lock(
    FileBucket* bucket, bool make
) {
    const auto deadline = Deadline::in(options.lock_timeout);
    auto turn = bucket->turn.try_acquire();
    if (!turn) {
        auto waited = co_await as_result(with_deadline(deadline, take_turn(&bucket->turn)));
        if (!waited && waited.error().code() == ErrorCode::deadline_exceeded)
            throw lock_timeout(bucket->folder);
        if (!waited) throw std::move(waited.error());
        turn = std::move(*waited);
    }
    auto folder = co_await lock_folder(bucket->folder, make, deadline);
    if (!folder) co_return std::nullopt;
    co_return BucketLock{std::move(*turn), std::move(*folder)};
}

Task<std::optional<Entry>> FileStore::Impl::get(std::string key) {
    const auto at = place(key);
    const auto folder = open_folder(at.bucket->folder);
    if (!folder && folder.error() == ENOENT) co_return std::nullopt;
    if (!folder) throw folder_error("opening", at.bucket->folder, folder.error());
    auto content = read_file(folder->get(), at.file, max_record_size);
    if (!content && content.error() == ENOENT) co_return std::nullopt;
    if (!content) throw io_error("reading", at.bucket->folder / at.file, content.error());
    if (content->value.empty() || at.bucket->has_expired(at.file, content->info))
        co_return std::nullopt;
    co_return Entry{.key = std::move(key), .value = std::move(content->value)};
}

Task<std::vector<Entry>> FileStore::Impl::list(std::string prefix) {
    FileBucket& from = bucket(split_prefix(prefix)->bucket);
    std::vector<Entry> entries;
    const auto held = co_await lock(&from, false);
    if (!held) co_return entries;
    const int folder = held->folder.folder();
    const auto files = list_folder(folder);
    if (!files) throw folder_error("listing", from.folder, files.error());
    for (std::size_t i = 0; i < files->size(); ++i) {
        if (i % files_per_turn == files_per_turn - 1) co_await yield();
        if (auto entry = read_listed(from, folder, (*files)[i], prefix))
            entries.push_back(std::move(*entry));
    }
    std::ranges::sort(entries, {}, &Entry::key);
    co_return entries;
}

/// One file of a listing; with the lock held, so that an expired one can be removed at once.
std::optional<Entry> FileStore::Impl::read_listed(
    FileBucket& from, int folder, const std::string& file, std::string_view prefix
) {
    if (is_temporary_name(file)) return std::nullopt;
    const auto info = inspect_file(folder, file);
    if (!info || !*info || sweep_one(from, folder, file, **info)) return std::nullopt;
    auto key = from.key_of(file);
    if (!key) {
        from.report_once(file, (*info)->identity, "its name is no key's");
        return std::nullopt;
    }
    if (!key->starts_with(prefix)) return std::nullopt;
    auto content = read_file(folder, file, max_record_size);
    if (!content) from.report_once(file, (*info)->identity, why_unreadable(content.error()));
    if (!content || content->value.empty()) return std::nullopt;
    return Entry{.key = std::move(*key), .value = std::move(content->value)};
}

/// Under a name that is taken by what has expired, too.
SystemResult<bool> FileStore::Impl::publish_new(
    const Place& at, int folder, std::string_view value
) {
    auto published = publish_file(folder, at.file, value);
    if (!published || *published) return published;
    const auto info = inspect_file(folder, at.file);
    if (!info) return std::unexpected<int>{info.error()};
    if (*info && !sweep_one(*at.bucket, folder, at.file, **info)) return false;
    return publish_file(folder, at.file, value);
}

Task<bool> FileStore::Impl::write(Entry entry, std::shared_ptr<LeaseBody> lease, bool only_new) {
    const auto at = place(entry.key);
    const auto held = co_await lock(at.bucket, true);
    // Nothing suspends from here on: a lease that is alive now knows of the file before it ends.
    if (lease->token.cancelled())
        throw Error{ErrorCode::unavailable, "store.lease_revoked", "the lease is revoked"};
    const int folder = held->folder.folder();
    auto written = SystemResult<bool>{true};
    if (only_new) {
        written = publish_new(at, folder, entry.value);
    } else if (const auto replaced = replace_file(folder, at.file, entry.value); !replaced) {
        written = std::unexpected<int>{replaced.error()};
    }
    if (!written) throw io_error("writing", at.bucket->folder / at.file, written.error());
    if (!*written) co_return false;
    own(at, std::move(entry), lease);
    at.bucket->examine(folder, at.file, FileBucket::Cause::appeared);
    co_return true;
}

void FileStore::Impl::own(const Place& at, Entry entry, const std::shared_ptr<LeaseBody>& lease) {
    disown(at, entry.key);
    at.bucket->owners.insert_or_assign(at.file, lease);
    lease->keys.insert_or_assign(std::move(entry.key), std::move(entry.value));
    keep_watching(*at.bucket);  // so that its removal by others is noticed at once
}

void FileStore::Impl::disown(const Place& at, const std::string& key) {
    const auto owner = at.bucket->owners.find(at.file);
    if (owner == at.bucket->owners.end()) return;
    owner->second->keys.erase(key);
    at.bucket->owners.erase(owner);
}

Task<bool> FileStore::Impl::remove(std::string key) {
    const auto at = place(key);
    // First: if the lock cannot be had the file runs out by itself, since nobody touches it.
    disown(at, key);
    const auto held = co_await lock(at.bucket, false);
    if (!held) co_return false;
    const auto removed = remove_file(held->folder.folder(), at.file);
    if (!removed) throw io_error("removing", at.bucket->folder / at.file, removed.error());
    at.bucket->examine(held->folder.folder(), at.file, FileBucket::Cause::removed);
    co_return *removed;
}

Task<Watch> FileStore::Impl::watch(std::string prefix) {
    FileBucket& watched = bucket(split_prefix(prefix)->bucket);
    if (!watched.complete || watched.polls) {
        const auto held = co_await lock(&watched, true);
        // In this order: what changes from here on is an event, what has changed is in the listing.
        watched.viewed = true;
        keep_watching(watched);
        co_await look_at_all(&watched, held->folder.folder());
        watched.complete = true;
    }
    co_return Watch{watched.hub->subscribe(std::move(prefix))};
}

Task<> FileStore::Impl::look_at_all(FileBucket* bucket, int folder) {
    const auto files = list_folder(folder);
    if (!files) throw folder_error("listing", bucket->folder, files.error());
    for (std::size_t i = 0; i < files->size(); ++i) {
        if (i % files_per_turn == files_per_turn - 1) co_await yield();
        if (!is_temporary_name((*files)[i]))
            bucket->examine(folder, (*files)[i], FileBucket::Cause::scan);
    }
    for (const auto& file : bucket->vanished(*files))
        bucket->examine(folder, file, FileBucket::Cause::scan);
}

}  // namespace stator::store
