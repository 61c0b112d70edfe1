// A module in the place of stator_etcd.so: it passes everything on to that one, and refuses the
// call that it is told to, before it is made or (its answer is thrown away) after.
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <utility>

#include "store/etcd/wire.hpp"
#include "tests/store/asking_wire.hpp"

namespace stator::store::etcd {

namespace {

std::atomic<int> calls{0};
std::atomic<int> refused{-1};
std::atomic<bool> afterwards{false};

void* real_module() {
    static void* const module = ::dlopen(STATOR_ETCD_MODULE, RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) std::abort();
    return module;
}

template <class Function>
Function real(const char* name) {
    return reinterpret_cast<Function>(::dlsym(real_module(), name));
}

const Status refusal{3, "refused by the test"};

class RefusingWire final : public test::AskingWire<RefusingWire> {
public:
    explicit RefusingWire(std::unique_ptr<Wire> real) : real_{std::move(real)} {}

    template <class Request, class Reply>
    Handle ask(const Request& request, const CallOptions& options, Done<Reply> done) {
        if (calls.fetch_add(1) != refused.load()) {
            return real_->start(request, options, std::move(done));
        }
        if (!afterwards.load()) {
            done({.status = refusal, .reply = {}});
            return std::make_shared<NoCall>();
        }
        return real_->start(
            request, options, Done<Reply>{[done = std::move(done)](Answer<Reply>) mutable {
                done({.status = refusal, .reply = {}});
            }}
        );
    }

    std::shared_ptr<WatchCall> watch(const CallOptions& options, WatchHandlers handlers) override {
        return real_->watch(options, std::move(handlers));
    }

private:
    struct NoCall final : Call {
        void cancel() noexcept override {}
    };
    const std::unique_ptr<Wire> real_;
};

}  // namespace

}  // namespace stator::store::etcd

namespace etcd = stator::store::etcd;

extern "C" {

int stator_etcd_module_version() {
    return etcd::real<etcd::ModuleVersion>("stator_etcd_module_version")();
}

etcd::Wire* stator_etcd_dial(const etcd::WireOptions* options) {
    std::unique_ptr<etcd::Wire> real{etcd::real<etcd::ModuleDial>("stator_etcd_dial")(options)};
    return std::make_unique<etcd::RefusingWire>(std::move(real)).release();
}

/// The call of that number, counted from now on; -1: none.
void stator_refuse_call(int number, bool after) {
    etcd::calls = 0;
    etcd::afterwards = after;
    etcd::refused = number;
}
}
