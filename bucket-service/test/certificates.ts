/** An authority of a test's own, and servers' certificates that it signed, each for one DNS name. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";

export interface Authority {
  /** Its own certificate. */
  file: string;
  /** Makes a key and a certificate for a name. */
  sign(name: string): { key: string; certificate: string };
  /** From now on this process trusts it beside all others, as NODE_EXTRA_CA_CERTS does at a start. */
  trust(): void;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export function makeAuthority(dir: string): Authority {
  const at = (name: string): string => join(dir, name);
  const openssl = (...words: string[]): void => void execFileSync("openssl", words, { stdio: "ignore" });
  openssl(
    ...["req", "-x509", ...NEW_KEY, "-days", "1", "-subj", "/CN=Test authority"],
    ...["-keyout", at("ca.key"), "-out", at("ca.pem")],
  );
  return {
    file: at("ca.pem"),
    sign(name) {
      const [key, request, certificate, more] = ["key", "csr", "pem", "ext"].map((end) =>
        at(`${name}.${end}`),
      );
      openssl("req", "-new", ...NEW_KEY, "-subj", `/CN=${name}`, "-keyout", key!, "-out", request!);
      writeFileSync(more!, `subjectAltName=DNS:${name}\n`);
      openssl(
        ...["x509", "-req", "-in", request!, "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial"],
        ...["-days", "1", "-extfile", more!, "-out", certificate!],
      );
      return { key: key!, certificate: certificate! };
    },
    trust: () => setDefaultCACertificates([...getCACertificates(), readFileSync(at("ca.pem"), "utf8")]),
  };
}
