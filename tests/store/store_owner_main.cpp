// A process that owns one key of a file store until its input ends: store_owner ROOT KEY VALUE.
// With KEY "lock", it holds the lock of the folder ROOT instead.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <iostream>
#include <string>

#include "stator/store/file_store.hpp"
#include "tests/store/store_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using stator::store::FileStore;

void wait_for_end_of_input() {
    char letter = 0;
    while (::read(STDIN_FILENO, &letter, 1) > 0) {
    }
}

stator::Task<std::shared_ptr<FileStore>> own(
    stator::Loop* loop, std::string root, std::string key, std::string value
) {
    auto store = co_await FileStore::open(*loop, {.root = root});
    co_await store->put(key, value, co_await store->grant_lease({}));
    co_return store;
}

int own_a_key(const char* root, const char* key, const char* value) {
    stator::test::Loops loops;
    auto store = loops.run(own(&loops.secondary(), root, key, value));
    if (!store) {
        std::cerr << store.error().what() << std::endl;
        return 1;
    }
    std::cout << "ready" << std::endl;
    wait_for_end_of_input();
    return loops.run((*store)->close(stator::Deadline::in(5s))) ? 0 : 1;
}

int hold_the_lock(const char* folder) {
    const int fd = ::open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ::flock(fd, LOCK_EX) != 0) return 1;
    std::cout << "ready" << std::endl;
    wait_for_end_of_input();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::string{argv[2]} == "lock") return hold_the_lock(argv[1]);
    if (argc != 4) return 2;
    return own_a_key(argv[1], argv[2], argv[3]);
}
