// SPDX-License-Identifier: MIT
/*
 * What cannot be found by asking the hardware. Addresses come from base/layout.h
 * by the C preprocessor. Every object here is one that the guest evaluates at
 * boot: processors are in the MADT already and need none.
 */
#include "base/layout.h"

DefinitionBlock ("", "DSDT", 2, "UMBRA", "UMBRA", 1)
{
    // Without a sleep type the guest cannot power itself off.
    Name (\_S5, Package () { LAYOUT_SLEEP_TYPE_S5, 0, 0, 0 })

    Scope (\_SB)
    {
        // The console: named, so that the guest need not probe the four ISA ports for it.
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, LAYOUT_COM1, LAYOUT_COM1, 1, LAYOUT_COM1_SIZE)
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { LAYOUT_GSI_COM1 }
            })
        }

        // Reduced hardware has no fixed power button.
        Device (PWRB)
        {
            Name (_HID, EisaId ("PNP0C0C"))
        }

        // The generic event device stands in for the SCI and the GPE blocks:
        // one interrupt, and a port that says which event it was.
        Device (EVNT)
        {
            Name (_HID, "ACPI0013")
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { LAYOUT_GSI_ACPI_EVENT }
            })
            OperationRegion (PORT, SystemIO, LAYOUT_ACPI_EVENT, 1)
            Field (PORT, ByteAcc, NoLock, Preserve)
            {
                WHAT, 8
            }
            Method (_EVT, 1, Serialized)
            {
                Local0 = WHAT // clears it
                If (Local0 & LAYOUT_EVENT_POWER_BUTTON)
                {
                    Notify (PWRB, 0x80)
                }
            }
        }

        // The PCI host bridge comes here with the first PCI device.
    }
}
