#include "transport/mux_streams.hpp"

#include <algorithm>
#include <utility>

namespace stator::transport::mux {

Stream& Streams::insert(StreamId id) {
    if ((size_ + 1) * 2 > table_.size()) grow();
    if (free_.empty()) {
        auto& slab = slabs_.emplace_back(std::make_unique<Stream[]>(slab_size));
        for (auto i = slab_size; i > 0; --i) free_.push_back(&slab[i - 1]);
    }
    auto* stream = free_.back();
    free_.pop_back();
    stream->id = id;
    place({id, stream});
    ++size_;
    return *stream;
}

void Streams::erase(Stream& stream) {
    auto hole = home(stream.id);
    while (table_[hole].id != stream.id) hole = (hole + 1) & mask();
    // Close the gap: whoever probed past the hole to get where it is moves up.
    for (auto at = (hole + 1) & mask(); table_[at].id != 0; at = (at + 1) & mask()) {
        const auto distance = (at - home(table_[at].id)) & mask();
        if (distance < ((at - hole) & mask())) continue;
        table_[hole] = table_[at];
        hole = at;
    }
    table_[hole] = {};
    stream.drop_assembly();
    stream = Stream{};
    free_.push_back(&stream);
    --size_;
}

std::vector<StreamId> Streams::ids() const {
    std::vector<StreamId> all;
    all.reserve(size_);
    for (const auto& entry : table_) {
        if (entry.id != 0) all.push_back(entry.id);
    }
    std::ranges::sort(all);
    return all;
}

void Streams::place(Entry entry) noexcept {
    auto at = home(entry.id);
    while (table_[at].id != 0) at = (at + 1) & mask();
    table_[at] = entry;
}

void Streams::grow() {
    const auto old = std::exchange(table_, std::vector<Entry>(table_.size() * 2));
    for (const auto& entry : old) {
        if (entry.id != 0) place(entry);
    }
}

}  // namespace stator::transport::mux
