#include "store/etcd/listing.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace stator::store::etcd {

namespace {

// A page is as many entries as make about this many bytes, going by the last page; the first is
// small, since nothing is known of the values yet.
constexpr std::size_t page_bytes = 4U << 20U;
constexpr std::int64_t first_page = 16;
constexpr std::int64_t largest_page = 2000;
constexpr std::int64_t growth = 8;  ///< at most, from page to page
constexpr int attempts = 4;

std::int64_t page_after(const std::vector<EtcdEntry>& page, std::int64_t limit) {
    std::size_t bytes = 1;
    for (const auto& entry : page) bytes += entry.key.size() + entry.value.size();
    const auto fitting = static_cast<std::int64_t>(page_bytes * page.size() / bytes);
    return std::clamp<std::int64_t>(fitting, 1, std::min(limit * growth, largest_page));
}

Task<EtcdOperationReply> page_of(
    std::shared_ptr<Link> link, EtcdOperation range, std::int64_t* revision
) {
    auto reply = co_await link->call(
        EtcdTransaction{.conditions = {}, .then = {std::move(range)}, .otherwise = {}}
    );
    if (reply.results.size() != 1)
        throw Error{ErrorCode::protocol, "store.protocol", "etcd left out a result"};
    *revision = reply.header.revision;
    co_return std::move(reply.results.front());
}

Task<EtcdListing> list_once(std::shared_ptr<Link> link, std::string prefix) {
    EtcdListing listing;
    auto range = EtcdOperation::list(std::move(prefix));
    range.limit = first_page;
    for (;;) {
        std::int64_t revision = 0;
        auto page = co_await as_result(page_of(link, range, &revision));
        if (!page) {
            if (page.error().detail() != "store.answer_too_large" || range.limit == 1)
                throw std::move(page.error());
            range.limit = std::max<std::int64_t>(range.limit / growth, 1);
            continue;
        }
        range.limit = page_after(page->entries, range.limit);
        if (range.revision == 0) listing.revision = range.revision = revision;
        std::ranges::move(page->entries, std::back_inserter(listing.entries));
        if (!page->more || listing.entries.empty()) co_return listing;
        range.key = listing.entries.back().key + '\0';
    }
}

}  // namespace

Task<EtcdListing> list_all(std::shared_ptr<Link> link, std::string prefix) {
    for (int attempt = 1;; ++attempt) {
        auto listing = co_await as_result(list_once(link, prefix));
        if (listing) co_return std::move(*listing);
        if (listing.error().detail() != "store.compacted" || attempt == attempts)
            throw std::move(listing.error());
    }
}

}  // namespace stator::store::etcd
