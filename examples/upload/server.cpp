// Serves demo.files.upload: takes any number of pieces, keeps none, and answers once with a digest
// of them all.
#include <fmt/format.h>
#include <stator/component/distributed_runtime.hpp>
#include <stator/worker/worker.hpp>

#include "upload.hpp"

using namespace stator;

Task<Receipt> upload(Context, Stream<Bytes> pieces) {
    Receipt receipt;
    Digest digest;
    while (auto piece = co_await pieces.next()) {  // taking one lets the caller send another
        digest.add(*piece);
        receipt.bytes += piece->size();
        ++receipt.pieces;
    }
    receipt.digest = fmt::format("{:016x}", digest.value());
    co_return receipt;
}

Task<> app(Runtime runtime) {
    auto cluster = co_await DistributedRuntime::connect(runtime);
    co_await cluster.endpoint("demo.files.upload").serve(upload);
}

int main() { return Worker::from_settings().execute(app); }
