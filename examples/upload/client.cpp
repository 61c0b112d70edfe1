// Sends its standard input to demo.files.upload, and compares the digest.
#include <array>
#include <iostream>

#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/component/router.hpp>
#include <stator/runtime/offload.hpp>
#include <stator/worker/worker.hpp>

#include "upload.hpp"

using namespace stator;
using namespace std::chrono_literals;

/// Reads a piece when the server has room for it, not before.
Stream<Bytes> pieces_of_input(Runtime runtime, Digest* digest) {
    for (;;) {
        auto piece = co_await offload(runtime.blocking(), [] {
            std::string buffer(64U << 10U, '\0');
            std::cin.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
            buffer.resize(static_cast<std::size_t>(std::cin.gcount()));
            return Bytes::copy_of(buffer);
        });
        if (piece.size() == 0) co_return;
        digest->add(piece);
        co_yield std::move(piece);
    }
}

Task<> app(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    auto client = co_await cluster.endpoint("demo.files.upload").client();
    co_await client.wait_for_instances(Deadline::in(5s));
    const Router<Bytes, Receipt> router{client};
    Digest own;
    const auto receipt = co_await router.ask(pieces_of_input(runtime, &own));
    if (receipt.digest != fmt::format("{:016x}", own.value()))
        throw Error{ErrorCode::internal, "upload.digest", "the server has seen something else"};
    fmt::print("{} bytes in {} pieces, {}\n", receipt.bytes, receipt.pieces, receipt.digest);
}

int main() { return Worker::from_settings().execute(app); }
