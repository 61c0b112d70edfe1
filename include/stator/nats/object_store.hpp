// ObjectStore: files and bytes of any size in a bucket of JetStream.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/nats/jetstream.hpp"
#include "stator/runtime/offload.hpp"

namespace stator::nats {

struct ObjectStoreOptions {
    std::string bucket{};  ///< 1 to 200 letters, digits, "-" and "_"
    /// Bytes of a message, at most; what the server takes is a bound, too.
    std::size_t chunk_size = std::size_t{128} << 10U;
    Duration max_age{};        ///< of a bucket that is not there: objects go after it; zero: never
    std::size_t replicas = 1;  ///< of a bucket that is not there
    /// How long anything waits for a server that says nothing, or is away. Transfers take longer.
    Duration call_timeout = std::chrono::seconds{5};
};

/// What a bucket tells of an object.
struct ObjectInfo {
    std::string name{};
    std::string bucket{};
    std::string nuid{};  ///< of this version: what its chunks are found by
    std::uint64_t size = 0;
    std::uint64_t chunks = 0;
    std::string digest{};  ///< "SHA-256=" and base64 with "-" and "_"
    /// A time in the form of RFC 3339, by the server's clock; of what was just put, by ours.
    std::string modified{};
    std::uint64_t max_chunk_size = 0;
    /// "bucket" or "bucket/name": it is only a link to that, which other clients make.
    std::string link{};
    bool deleted = false;
};

/// What is to be stored: up to `size` bytes from `offset` on, fewer only at the end. Asked in
/// order, once more from the beginning if an attempt was lost.
using ObjectSource = std::function<Task<Bytes>(std::uint64_t offset, std::size_t size)>;
/// Takes the next piece, of which the first has offset 0, also of an empty object; once more from
/// there if somebody wrote over the object meanwhile. `object` is good until it returns. Whether
/// what it got is right is known only after the last piece.
using ObjectSink =
    std::function<Task<>(const ObjectInfo* object, std::uint64_t offset, Bytes piece)>;

/// The public layout of NATS's object stores (ADR-20 of NATS): what other clients wrote can be
/// read, and the reverse. docs/nats.md describes it.
///
/// An object is there as a whole or not at all: its record is written once all chunks are, and says
/// which record it replaces, so that of two writers each knows whose chunks to remove. A transfer
/// goes on when the connection was lost and is back in time; what is read is given out as right
/// only with the size and the digest that its record has.
///
/// A cheap copy over its client; any loop. Nothing of it outlives its calls. Errors of all: those
/// of JetStream; not_found "nats.bucket_missing", invalid_request "nats.object_name" (1 to 1024
/// bytes of UTF-8), protocol "nats.object_record" for one that cannot be read. Cancel safety:
/// throws `cancelled`, for some only after what has to be removed is, `call_timeout` later at the
/// latest.
class ObjectStore {
public:
    /// Asks nobody. Errors: invalid_request "nats.bucket".
    static Result<ObjectStore> at(Client client, ObjectStoreOptions options);

    const std::string& bucket() const noexcept;

    /// Good as well if it is there. Errors: already_exists "nats.bucket_differs" for a stream of
    /// its name that is none.
    Task<> create_bucket() const;
    /// With all in it. False if there is none.
    Task<bool> delete_bucket() const;

    /// Returns once the object is there, instead of an older one; makes the bucket. If it throws,
    /// the older one is still there and the chunks that were sent are removed, as far as the server
    /// answers; after `disconnected` or `deadline_exceeded` it may be there all the same. Errors:
    /// overloaded "nats.object_busy" when others write the same object each time that this is about
    /// to.
    Task<ObjectInfo> put(std::string name, Bytes content) const;
    /// As above; never more than some chunks are in memory. Errors: those of the source.
    Task<ObjectInfo> put_from(std::string name, ObjectSource source) const;
    /// As above. Errors: not_found, permission_denied or invalid_request "nats.object_file".
    Task<ObjectInfo> put_file(BlockingPool& pool, std::string name, std::filesystem::path file)
        const;

    /// Errors: not_found "nats.object_missing"; protocol "nats.object_incomplete" (chunks are
    /// missing), "nats.object_digest" (they are not what was stored); payload_too_large
    /// "nats.object_too_large" for more than `most_bytes`; unimplemented "nats.object_link";
    /// overloaded "nats.object_busy" when others write over it each time.
    Task<Bytes> get(std::string name, std::size_t most_bytes = std::size_t{256} << 20U) const;
    /// As above; never more than some chunks are in memory. Errors: those of the sink.
    Task<ObjectInfo> get_to(std::string name, ObjectSink sink) const;
    /// As above. The file is there, or replaced, once all is known to be right; until then it is
    /// ".stator-<number>.part" in the same folder, which is removed if it ends otherwise. Errors:
    /// not_found, permission_denied or unavailable "nats.object_file".
    Task<ObjectInfo> get_file(BlockingPool& pool, std::string name, std::filesystem::path file)
        const;

    /// Nothing if there is no such object.
    Task<std::optional<ObjectInfo>> info(std::string name) const;
    /// By name. Records that cannot be read are reported and left out.
    Task<std::vector<ObjectInfo>> list() const;
    /// False if there was none.
    Task<bool> remove(std::string name) const;

private:
    struct State;
    explicit ObjectStore(std::shared_ptr<const State> state) noexcept : state_{std::move(state)} {}
    std::shared_ptr<const State> state_;
};

}  // namespace stator::nats
