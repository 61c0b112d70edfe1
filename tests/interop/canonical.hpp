// One text for one value, the same in every language: what a digest is made of
// (peers/canonical.py).
#pragma once

#include <memory>
#include <string>

#include "stator/codec/json.hpp"

struct evp_md_ctx_st;

namespace stator::interop {

/// Integers and floats differ (1 is not 1.0), floats are their 64 bits, strings their UTF-8 with
/// the length before, maps are in the order of their keys' bytes.
std::string canonical(const Document& value);

/// SHA-256, in hex, of the canonical text of one value.
std::string digest(const Document& value);

/// The same of the items of a stream, in their order.
class ItemDigest {
public:
    ItemDigest();
    void add(const Document& item);
    /// To be asked once.
    std::string hex();

private:
    struct Free {
        void operator()(evp_md_ctx_st* hash) const noexcept;
    };
    std::unique_ptr<evp_md_ctx_st, Free> hash_;
};

}  // namespace stator::interop
