// A key and a certificate that say localhost, until 2120. They guard nothing: they are public.
#pragma once

namespace cq_test {

/// Of the certificate below.
inline constexpr char private_key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGrHsIWuCTP2HFCEk\n"
    "96ZCzhTTyKLyNpselgUpE3X74o+hRANCAASDP8zPsUx30HWxarvptXF9DKG0oqBC\n"
    "z76/SDauO1PYF1XznrwuGDpqe6UTyl1Vp9Sv7B32dX2651e4iSdy3IDQ\n"
    "-----END PRIVATE KEY-----\n";

/// Signed with its own key.
inline constexpr char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBYTCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv\n"
    "c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM\n"
    "CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIM/zM+xTHfQdbFq\n"
    "u+m1cX0MobSioELPvr9INq47U9gXVfOevC4YOmp7pRPKXVWn1K/sHfZ1fbrnV7iJ\n"
    "J3LcgNCjSDBGMA8GA1UdEwEB/wQFMAMBAf8wFAYDVR0RBA0wC4IJbG9jYWxob3N0\n"
    "MB0GA1UdDgQWBBRLxs2dblMHiST8pYJGEs4n6igWljAKBggqhkjOPQQDAgNIADBF\n"
    "AiAwvh9M9MB/WsLSgmocfTEabFuntrQVwaiI8xI0gwsvXQIhAP6xtiElF2ZM2ijE\n"
    "ONEla9sYjRlFDKpkACAcrYp5Ljkl\n"
    "-----END CERTIFICATE-----\n";

}  // namespace cq_test
