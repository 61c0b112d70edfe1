// ObjectUpload: one attempt to send the chunks of an object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nats/sha256.hpp"
#include "stator/nats/object_store.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::nats {

/// Sends some chunks at a time, each once: a chunk whose answer is lost ends the attempt, so that
/// none can be there twice or in another order. What an attempt that fails has left is removed by
/// `run` itself. Lives in the task that uploads; used once.
class ObjectUpload {
public:
    struct Options {
        std::string stream{};
        std::string subject{};  ///< of these chunks alone
        std::size_t chunk_size = 0;
        Duration call_timeout{};
    };
    ObjectUpload(JetStream server, Options options, const ObjectSource* source);

    /// Returns when all are stored. Errors: those of the source; of JetStream.
    Task<> run();

    std::uint64_t size() const noexcept { return size_; }
    std::uint64_t chunks() const noexcept { return sequences_.size(); }
    std::string sha256() { return sha256_.finish(); }
    /// Another attempt may succeed.
    bool may_be_repeated() const noexcept;

private:
    Task<> send_all();
    Task<Bytes> next_chunk();
    Task<> send(Bytes chunk, std::size_t number, Permit place);

    const JetStream server_;
    const Options options_;
    const ObjectSource* source_;
    Semaphore window_;
    std::uint64_t size_ = 0;
    std::vector<std::uint64_t> sequences_{};  // of the chunks
    Sha256 sha256_;
    std::optional<Error> failure_{};  // the server's
    TaskScope sending_;
};

/// Removes chunks as far as the server answers in time; it is reported if it does not. `object`:
/// for people.
Task<> remove_chunks(JetStream server, std::string stream, std::string subject, Duration time);

}  // namespace stator::nats
