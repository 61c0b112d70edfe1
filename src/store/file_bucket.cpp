#include "store/file_bucket.hpp"

#include <algorithm>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"
#include "store/file_name.hpp"

namespace stator::store {

FileBucket::FileBucket(std::string name_, std::filesystem::path folder_, Duration ttl)
    : name{std::move(name_)}, folder{std::move(folder_)}, ttl_{ttl.count()} {}

std::optional<std::string> FileBucket::key_of(const std::string& file) const {
    auto rest = decode_file_name(file);
    if (!rest) return std::nullopt;
    return fmt::format("{}/{}", name, *rest);
}

bool FileBucket::examine(int directory, const std::string& file, Cause cause) {
    // Gone and there again is two changes, even under the same inode number.
    if (cause == Cause::removed) forget(file);
    const auto info = inspect_file(directory, file);
    if (!info || !*info) {
        forget(file);
        return false;
    }
    if (!viewed) return true;
    const auto known = view_.find(file);
    const bool same = known != view_.end() && known->second.identity == (*info)->identity;
    // Without events an unchanged inode may have been written in place.
    const bool untouched = same && (!polls || known->second.modified == (*info)->modified);
    if (cause == Cause::scan && untouched) return true;
    if (has_expired(file, **info)) {
        forget(file);
        next_scan = TimePoint{};  // which removes it
        return true;
    }
    show(directory, file, **info);
    return true;
}

/// Reads the file; a new or changed one goes into the view.
void FileBucket::show(int directory, const std::string& file, const FileInfo& info) {
    const auto key = key_of(file);
    if (!key) return report_once(file, info.identity, "its name is no key's");
    auto content = read_file(directory, file, max_record_size);
    if (!content) {
        forget(file);
        if (content.error() == ENOENT) return;
        return report_once(file, info.identity, why_unreadable(content.error()));
    }
    // Somebody writes it in place: there will be an event when it is complete.
    if (content->value.empty()) return;
    const auto [seen, fresh] = view_.try_emplace(file);
    const Seen before =
        std::exchange(seen->second, Seen{content->info.identity, content->info.modified});
    if (!fresh && before.identity == content->info.identity) {
        const auto shown = hub->find(*key);
        if (shown && shown->value == content->value) return;
    }
    next_scan = std::min(next_scan, expiry(content->info));
    hub->put(Entry{.key = *key, .value = std::move(content->value)});
}

void FileBucket::forget(const std::string& file) {
    if (view_.erase(file) == 0) return;
    if (const auto key = key_of(file)) hub->remove(*key);
}

std::vector<std::string> FileBucket::vanished(const std::vector<std::string>& present) const {
    std::vector<std::string> files;
    const auto shown = std::ranges::count_if(present, [&](const std::string& file) {
        return view_.contains(file);
    });
    if (static_cast<std::size_t>(shown) == view_.size()) return files;
    const std::unordered_set<std::string_view> there{present.begin(), present.end()};
    for (const auto& [file, seen] : view_) {
        if (!there.contains(file)) files.push_back(file);
    }
    return files;
}

bool FileBucket::has_expired(const std::string& file, const FileInfo& info) {
    const auto age = wall_now() - info.modified;
    if (age >= -ttl_) {
        future_.erase(file);
        return age > ttl_;
    }
    const auto now = Clock::current().now();
    auto& unmoved = future_.try_emplace(file, Unmoved{info.modified, now}).first->second;
    if (unmoved.modified != info.modified) unmoved = Unmoved{info.modified, now};
    return now - unmoved.since > Duration{ttl_};
}

TimePoint FileBucket::expiry(const FileInfo& info) const noexcept {
    const auto left = info.modified + ttl_ - wall_now();
    return Clock::current().now() + Duration{left};
}

void FileBucket::report_once(
    const std::string& file, const FileIdentity& identity, std::string_view why
) {
    const auto [known, fresh] = reported_.try_emplace(file, identity);
    if (!fresh && known->second == identity) return;
    known->second = identity;
    sink().count("store_files_skipped_total", 1);
    sink().report(
        Severity::warn,
        "stator::store",
        fmt::format("skipping {} in {}: {}", quoted_text(file, 255), folder.string(), why)
    );
}

void FileBucket::forget_reports_except(const std::vector<std::string>& files) {
    if (reported_.empty() && future_.empty()) return;
    const std::unordered_set<std::string> present{files.begin(), files.end()};
    const auto gone = [&](const auto& item) { return !present.contains(item.first); };
    std::erase_if(reported_, gone);
    std::erase_if(future_, gone);
}

}  // namespace stator::store
