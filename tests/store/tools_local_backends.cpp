// The backends that need no server.
#include "stator/store/file_store.hpp"
#include "stator/store/memory_store.hpp"
#include "tests/store/tools_backends.hpp"

namespace stator::test {

namespace {

constexpr Duration memory_ttl = 500ms;
constexpr Duration file_ttl = 1s;

Task<StorePtr> open_memory(Loop* loop, std::string name, Duration ttl) {
    co_return store::MemoryStore::open(*loop, {.name = std::move(name), .ttl = ttl});
}

Task<StorePtr> open_file(Loop* loop, std::filesystem::path root, Duration ttl) {
    co_return co_await store::FileStore::open(*loop, {.root = std::move(root), .ttl = ttl});
}

}  // namespace

const std::vector<ToolsBackend>& tools_backends() {
    static const std::vector<ToolsBackend> backends{
        {"mem",
         memory_ttl,
         true,
         true,
         [](Loop& loop, const std::filesystem::path& place, Duration ttl) {
             return open_memory(&loop, place.string(), ttl);
         }},
        {"file",
         file_ttl,
         false,
         false,
         [](Loop& loop, const std::filesystem::path& place, Duration ttl) {
             return open_file(&loop, place, ttl);
         }},
    };
    return backends;
}

}  // namespace stator::test
