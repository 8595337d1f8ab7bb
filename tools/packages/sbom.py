"""The list of what is inside the programs (SBOM), as CycloneDX."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from tools.packages import licenses
from tools.packages.contents import Package


def _component(package: Package, distribution: str) -> Component:
    # Scanners look for advisories by the name and the version of the source.
    qualifiers = {"arch": package.architecture, "distro": distribution}
    if package.source != package.name:
        qualifiers["upstream"] = f"{package.source}@{package.source_version}"
    url = PackageURL("deb", "debian", package.name, package.version, qualifiers)
    names = dict.fromkeys(map(licenses.spdx_name, licenses.declared(package)))
    return Component(
        name=package.name,
        version=package.version,
        bom_ref=str(url),
        purl=url,
        licenses=[LicenseFactory().make_from_string(name) for name in names],
        properties=[Property(name="lossd:copyright", value=f"licenses/{package.source}.copyright")],
    )


def sbom(packages: Iterable[Package], version: str, distribution: str, when: datetime) -> str:
    """Returns the list as JSON. It depends on its arguments and the copyright files alone."""
    root = Component(
        name="lossd",
        type=ComponentType.APPLICATION,
        version=version,
        bom_ref="lossd",
        purl=PackageURL("pypi", None, "lossd-server", version),
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
    components = [_component(package, distribution) for package in packages]
    inside = " ".join(str(component.purl) for component in components)
    bom = Bom(components=components, serial_number=uuid.uuid5(uuid.NAMESPACE_URL, inside))
    bom.metadata.component = root
    bom.metadata.timestamp = when
    bom.register_dependency(root, components)
    return str(JsonV1Dot6(bom).output_as_string(indent=2))
