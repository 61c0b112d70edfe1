// Authorities and certificates, made while a test runs, in a folder that goes with it.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "stator/settings/settings.hpp"

namespace stator::testing {

/// Removes itself.
class CertificateFolder {
public:
    CertificateFolder() {
        std::string name = std::filesystem::temp_directory_path() / "stator-tls-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
        path_ = name;
    }
    CertificateFolder(const CertificateFolder&) = delete;
    CertificateFolder& operator=(const CertificateFolder&) = delete;
    ~CertificateFolder() { std::filesystem::remove_all(path_); }

    std::string file(const std::string& name) const { return path_ / name; }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream{path_ / name} << text;
        return path_ / name;
    }

private:
    std::filesystem::path path_;
};

struct CertificateFiles {
    std::string certificate;
    std::string key;
};

/// Signs certificates; its own is `name`.pem in the folder.
class Authority {
public:
    Authority(const CertificateFolder& folder, std::string name)
        : folder_{folder}, name_{std::move(name)}, key_{new_key()}, certificate_{X509_new()} {
        fill(certificate_.get(), key_.get(), name_, -day, day);
        extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
        X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
        X509_sign(certificate_.get(), key_.get(), EVP_sha256());
        save(name_);
    }

    std::string file() const { return folder_.file(name_ + ".pem"); }
    /// `names` as OpenSSL writes them: "IP:127.0.0.1,DNS:localhost". Valid for a day, or since two
    /// days and not any more.
    CertificateFiles issue(
        const std::string& name, const std::string& names = "IP:127.0.0.1", bool expired = false
    ) const {
        return issue(name, names, expired ? -2 * day : -day, expired ? -day : day);
    }
    /// Valid for 127.0.0.1 and so many seconds from now on.
    CertificateFiles issue_for(const std::string& name, long seconds) const {
        return issue(name, "IP:127.0.0.1", -day, seconds);
    }

private:
    CertificateFiles issue(const std::string& name, const std::string& names, long from, long until)
        const {
        const auto key = new_key();
        const std::unique_ptr<X509, Free> made{X509_new()};
        fill(made.get(), key.get(), name, from, until);
        X509_set_issuer_name(made.get(), X509_get_subject_name(certificate_.get()));
        extend(made.get(), NID_subject_alt_name, names.c_str());
        X509_sign(made.get(), key_.get(), EVP_sha256());
        const CertificateFiles files{folder_.file(name + ".pem"), folder_.file(name + ".key")};
        write_certificate(files.certificate, made.get());
        write_key(files.key, key.get());
        return files;
    }

    struct Free {
        void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
        void operator()(X509* certificate) const noexcept { X509_free(certificate); }
    };
    static constexpr long day = 24 * 3600;
    static std::unique_ptr<EVP_PKEY, Free> new_key() {
        return std::unique_ptr<EVP_PKEY, Free>{EVP_EC_gen("P-256")};
    }
    static void fill(X509* made, EVP_PKEY* key, const std::string& name, long from, long until) {
        static long serial = 1;
        X509_set_version(made, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(made), serial++);
        X509_gmtime_adj(X509_getm_notBefore(made), from);
        X509_gmtime_adj(X509_getm_notAfter(made), until);
        X509_set_pubkey(made, key);
        const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
        X509_NAME_add_entry_by_txt(
            X509_get_subject_name(made), "CN", MBSTRING_ASC, text, -1, -1, 0
        );
    }
    static void extend(X509* made, int what, const char* value) {
        X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value);
        X509_add_ext(made, extension, -1);
        X509_EXTENSION_free(extension);
    }
    static void write_certificate(const std::string& path, X509* certificate) {
        std::FILE* const file = std::fopen(path.c_str(), "w");
        PEM_write_X509(file, certificate);
        (void)std::fclose(file);
    }
    static void write_key(const std::string& path, EVP_PKEY* key) {
        std::FILE* const file = std::fopen(path.c_str(), "w");
        PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
        (void)std::fclose(file);
    }
    void save(const std::string& name) const {
        write_certificate(folder_.file(name + ".pem"), certificate_.get());
    }

    const CertificateFolder& folder_;
    const std::string name_;
    std::unique_ptr<EVP_PKEY, Free> key_;
    std::unique_ptr<X509, Free> certificate_;
};

/// One authority, one certificate for 127.0.0.1, and settings made of them.
class Certificates {
public:
    const CertificateFolder& folder() const noexcept { return folder_; }
    const Authority& authority() const noexcept { return authority_; }
    const CertificateFiles& own() const noexcept { return own_; }

    settings::TlsSettings server() const {
        settings::TlsSettings made;
        made.cert_path = own_.certificate;
        made.key_path = own_.key;
        return made;
    }
    settings::TlsSettings client() const {
        settings::TlsSettings made;
        made.ca_cert_path = authority_.file();
        return made;
    }
    /// Both sides.
    settings::TlsSettings both() const {
        auto made = server();
        made.ca_cert_path = authority_.file();
        return made;
    }
    /// Both sides, and both ask for a certificate.
    settings::TlsSettings mutual() const {
        auto made = both();
        made.client_ca_cert_path = authority_.file();
        made.client_cert_path = own_.certificate;
        made.client_key_path = own_.key;
        return made;
    }

private:
    CertificateFolder folder_;
    Authority authority_{folder_, "authority"};
    CertificateFiles own_ = authority_.issue("own");
};

}  // namespace stator::testing
