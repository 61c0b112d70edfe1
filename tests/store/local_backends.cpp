// The backends that need no server.
#include "stator/store/file_store.hpp"
#include "stator/store/memory_store.hpp"
#include "tests/store/conformance.hpp"

namespace stator::test {

namespace {

using store::FileStore;
using store::MemoryStore;
using Store = std::shared_ptr<store::KeyValueStore>;

Task<Store> open_memory(Loop& loop, const std::filesystem::path& place) {
    return [](Loop* on, std::string name) -> Task<Store> {
        co_return MemoryStore::open(*on, {.name = std::move(name)});
    }(&loop, place.string());
}

Task<Store> open_file(Loop& loop, FileStore::Options options) {
    return [](Loop* on, FileStore::Options with) -> Task<Store> {
        co_return co_await FileStore::open(*on, std::move(with));
    }(&loop, std::move(options));
}

}  // namespace

const std::vector<Backend>& conformance_backends() {
    static const std::vector<Backend> backends{
        {"mem", open_memory},
        {"file",
         [](Loop& loop, const std::filesystem::path& place) {
             return open_file(loop, {.root = place});
         }},
        {"polled_file",
         [](Loop& loop, const std::filesystem::path& place) {
             return open_file(loop, {.root = place, .poll_period = 10ms, .inotify = false});
         }},
    };
    return backends;
}

}  // namespace stator::test
