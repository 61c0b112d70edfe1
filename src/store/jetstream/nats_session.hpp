// A session as keys that are written again as long as it lives.
#pragma once

#include <memory>

#include "store/jetstream/bucket.hpp"
#include "store/session_body.hpp"

namespace stator::store::jetstream {

/// `ttl` must be the bucket's, or zero. Errors: invalid_request "store.ttl".
std::shared_ptr<SessionHold> open_session(std::shared_ptr<Bucket> bucket, Duration ttl);

}  // namespace stator::store::jetstream
