// The calls of an etcd connection as one function, for connections that tests make up.
#pragma once

#include <utility>

#include "store/etcd/wire.hpp"

namespace stator::test {

/// Every call comes to `Self::ask(request, options, done)`.
template <class Self>
class AskingWire : public store::etcd::Wire {
    using Options = store::etcd::CallOptions;

public:
    Handle start(
        const store::EtcdTransaction& request,
        const Options& options,
        Done<store::EtcdTransactionReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }
    Handle start(
        const store::etcd::GrantRequest& request,
        const Options& options,
        Done<store::etcd::GrantReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }
    Handle start(
        const store::etcd::RevokeRequest& request,
        const Options& options,
        Done<store::etcd::HeaderReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }
    Handle start(
        const store::etcd::KeepAliveRequest& request,
        const Options& options,
        Done<store::etcd::KeepAliveReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }
    Handle start(
        const store::etcd::LeaseKeysRequest& request,
        const Options& options,
        Done<store::etcd::LeaseKeysReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }
    Handle start(
        const store::etcd::CompactRequest& request,
        const Options& options,
        Done<store::etcd::HeaderReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }
    Handle start(
        const store::etcd::StatusRequest& request,
        const Options& options,
        Done<store::etcd::StatusReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }
    Handle start(
        const store::etcd::AuthenticateRequest& request,
        const Options& options,
        Done<store::etcd::AuthenticateReply> done
    ) override {
        return self().ask(request, options, std::move(done));
    }

private:
    Self& self() { return static_cast<Self&>(*this); }
};

}  // namespace stator::test
